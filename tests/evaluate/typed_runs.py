"""Property models' metrics and predictions typed in by hand, as a run's folder has them."""

import numpy as np

from force2geo.files import record_provenance, write_json


def write_property_run(folder, predicted, true, history=(), unit="eV", train=8):
    """Write a run; `predicted` and `true` are {part: {cid: value}}."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays, content = {}, {"units": {"property_mae": unit}, "history": list(history),
                           "sizes": {"train": train}}  # fmt: skip
    for part, values in predicted.items():
        cids = list(values)
        found = np.array([values[cid] for cid in cids])
        truth = np.array([true[part][cid] for cid in cids])
        arrays |= {f"{part}/cid": np.array(cids, dtype="S9"), f"{part}/property": found,
                   f"{part}/property_true": truth}  # fmt: skip
        content[part] = {"property_mae": float(np.abs(found - truth).mean())}
        content["sizes"][part] = len(cids)
    np.savez(folder / "predictions.npz", **arrays)
    write_json(folder / "metrics.json", content)
    for name in ("metrics.json", "predictions.npz"):
        record_provenance(folder / name, "test", {"folder": folder.name}, [])
    return folder / "metrics.json"


def off_by(errors, part="test", count=None):
    """Return true values 5, 6, … and predictions that are off by `errors`, {part: {cid: value}}."""
    cids = [f"{number:09d}" for number in range(len(errors))]
    true = dict(zip(cids, 5.0 + np.arange(len(errors)), strict=True))
    sign = np.where(np.arange(len(errors)) % 2, -1, 1)
    found = {cid: true[cid] + s * e for cid, s, e in zip(cids, sign, errors, strict=True)}
    return {"val": found, "test": found}, {"val": true, "test": true}
