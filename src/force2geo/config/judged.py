"""What is relaxed and judged in D_opt's place, and from where: what no single key can tell."""

from __future__ import annotations

from typing import Any

from force2geo.errors import UserError
from force2geo.plan.data import learns_from_store, selects
from force2geo.plan.relaxations import d_opt_starts
from force2geo.training_data import registry


def check_judged(config: dict[str, Any]) -> None:
    """Raise `UserError` where the set that DFT judges cannot be, or is trained on."""
    if config["relax"]["d_opt"] is not None:
        _check_set(config, config["relax"]["d_opt"])
    starts = d_opt_starts(config)
    for start in config.get("finish", {}).get("starts", []):
        if start not in starts:
            raise UserError(
                f"config: finish.starts: nothing is relaxed from '{start}', only "
                f"{', '.join(starts)}: relax.starts names more"
            )


def _check_set(config: dict[str, Any], name: str) -> None:
    if selects(config, name):
        raise UserError(
            f"config: relax.d_opt: '{name}' is of this run's own molecules, of which "
            "select.d_opt_size chooses; leave relax.d_opt out"
        )
    if not learns_from_store(config):
        return
    for path in registry.build(config["data"][name]).never_trained_on():
        if path not in config["select"]["test_sets"]:
            raise UserError(
                f"config: relax.d_opt: no potential that '{name}' judges may learn from it: name "
                f"{path} under select.test_sets"
            )
