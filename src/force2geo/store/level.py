"""The level of theory of a stage, and which levels are on one energy scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from force2geo.trajectory import Stage


class Level(NamedTuple):
    """A program and the energy scale it computed on; `form` is the functional's or the method."""

    program: str
    form: str
    basis: str
    spherical: bool | None

    @property
    def energy(self) -> str:
        """What the energies are: MOPAC's are heats of formation, others' totals."""
        return "heat of formation" if self.program == "mopac" else "total"

    @property
    def scale(self) -> tuple[str, str, str, bool | None]:
        """What two levels must share for their energies to be comparable.

        A method that brings its basis along is written with and without it.
        """
        basis = "" if self.basis == self.form else self.basis
        return self.energy, self.form, basis, self.spherical

    def __str__(self) -> str:
        functions = {None: "", True: ", spherical", False: ", Cartesian"}[self.spherical]
        basis = f"/{self.basis}" if self.basis and self.basis != self.form else ""
        return f"{self.program} {self.form}{basis}{functions}"


def level_of(stage: Stage) -> Level:
    """Return the level of a stage."""
    return Level(stage.program, stage.functional or stage.method, stage.basis, stage.spherical)
