"""D_opt-120: 120 diverse molecules with DFT minima, which no potential here has learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from force2geo.settings import setting
from force2geo.training_data.dataset import About, DataSet, File, Molecule
from force2geo.training_data.minima_file import read_minima

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILE = "minima.h5"
_TARGETS = {"energy": "eV"}


@dataclass(frozen=True)
class DOpt120Settings:
    """Where the minima are, and the table that keeps the molecules out of trainings."""

    folder: str = setting(f"folder of {_FILE}", "workflow/resources/d_opt_120")
    molecules: str = setting(
        "table of the molecules, which select.test_sets must name",
        "workflow/resources/labels/d_opt_120.csv",
    )


class DOpt120(DataSet):
    """Molecules whose `dft` geometry is the lower of the minima from two starts.

    These are `dft_rdkit` and `dft_gfn2`; `rdkit` and `gfn2` are the starts themselves. One that has
    no minimum is left out.
    """

    Settings = DOpt120Settings
    kinds = ("molecules",)
    units = _TARGETS
    extensive = ("energy",)
    about = About(
        "D_opt-120",
        "B3LYP/6-31G*",
        "QM9 (R. Ramakrishnan et al., Sci. Data 1 (2014) 140022) and the package chemicals",
        "MIT",
        f"this repository, workflow/resources/d_opt_120/{_FILE}",
    )

    def files(self) -> list[File]:
        """Return the one file."""
        return [File(_FILE)]

    def never_trained_on(self) -> list[str]:
        """Return the table of the molecules."""
        return [self.settings.molecules]

    def molecules(self) -> Iterator[Molecule]:
        """Yield the molecules that have a minimum."""
        found = read_minima(self.folder() / _FILE)
        columns, lowest = found.columns, found.lowest()
        texts = {name: found.texts(name) for name in ("cid", "smiles", "inchi")}
        ptr = columns["ptr"]
        for row, cid in enumerate(texts["cid"]):
            if lowest[row] < 0:
                self.warnings.append(f"{cid}: left out, DFT came to no minimum")
                continue
            atoms = slice(int(ptr[row]), int(ptr[row + 1]))
            best = found.starts[lowest[row]]
            geometries = {"dft": columns[f"{best}/position"][atoms]}
            for start in found.starts:
                if columns[f"{start}/status"][row]:
                    geometries[start] = columns[f"{start}/start"][atoms]
                    geometries[f"dft_{start}"] = columns[f"{start}/position"][atoms]
            yield Molecule(
                cid,
                columns["atomic_numbers"][atoms],
                geometries,
                {"energy": float(columns[f"{best}/energy"][row])},
                texts["smiles"][row],
                texts["inchi"][row],
                int(columns["charge"][row]),
                int(columns["multiplicity"][row]),
            )


DATASET = DOpt120
