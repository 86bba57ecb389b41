"""Which calculator, and how it is made: a short name, or an import path with options."""

from __future__ import annotations

import json
from typing import Any

from force2geo.errors import UserError
from force2geo.files import hash_value

# What an SCF leaves open of GFN2-xTB's forces is 5e-4 eV/Å with the accuracy that tblite takes
# itself, 5e-6 with this one, for a third to a half more time.
_ACCURACY = 0.01
_TBLITE = "tblite.ase:TBLite"

SHORT: dict[str, dict[str, Any]] = {
    name.lower(): {
        "calculator": _TBLITE,
        "options": {"method": name, "accuracy": _ACCURACY, "verbosity": 0},
    }
    for name in ("GFN2-xTB", "GFN1-xTB")
}
"""The usual calculators, by short names."""

STATE = ("charge", "multiplicity", "mult", "spin_multiplicity")
"""What calculators call the charge and the multiplicity, which are each molecule's own."""


def record_of(value: str | dict[str, Any]) -> dict[str, Any]:
    """Return `{calculator, options}` of a short name or of a record; `UserError` for neither."""
    if isinstance(value, str):
        if value not in SHORT:
            raise UserError(
                f"calculator '{value}': no such short name, only {', '.join(SHORT)}; any other is "
                "{calculator: MODULE:CLASS, options: {…}}"
            )
        return json.loads(json.dumps(SHORT[value]))
    if "calculator" not in value:
        raise UserError(f"calculator: {value!r} names none, give MODULE:CLASS as its 'calculator'")
    found = {"calculator": value["calculator"], "options": dict(value.get("options") or {})}
    if own := sorted(set(STATE) & set(found["options"])):
        raise UserError(
            f"calculator '{found['calculator']}': its options name a {own[0]}, which is each "
            "molecule's own; leave it out"
        )
    return found


def label(record: dict[str, Any]) -> str:
    """Return a name of a record, for people and for files: the short one where there is one."""
    for name, known in SHORT.items():
        if record == known:
            return name
    kind = record["calculator"].rpartition(":")[2]
    return f"{kind}-{hash_value(record)[:8]}"
