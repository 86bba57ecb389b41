"""One configuration on top of another, as Snakemake puts them."""


def merge(base, extra):
    """Return `base`, changed where `extra` says more."""
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value
    return base
