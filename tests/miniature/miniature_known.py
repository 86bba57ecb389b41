"""Fifteen molecules whose every number is known before any of the package runs.

Energies, gradients, orbitals and geometries name their molecule, stage and frame, so that whatever
is exchanged for something else shows as a digit. The logs are written here, in GAMESS's layout.
"""

import functools

import numpy as np
from rdkit import Chem
from rdkit.Chem import AllChem

HARTREE = 27.211386024367243  # eV, CODATA 2014 as in ASE
BOHR = 0.5291772105638411  # Å

SMILES = {
    1: "O", 2: "C", 3: "CO", 4: "CN", 5: "CC=O", 6: "C1CC1", 7: "CC1CC1", 8: "C1CO1", 9: "CC1CO1",
    10: "C1CN1", 11: "OC=O", 12: "NC=O",
    13: "CF",  # its DFT stage did not converge
    14: "[2H]C1CN1",  # no orbitals; the same skeleton as 10
    15: "CCl",  # not converged, and in another data set's test set
}  # fmt: skip
CIDS = [f"{number:09d}" for number in SMILES]
ELIGIBLE = CIDS[:12]
# Seven of the twelve have no ring and train; two scaffolds of two, one of one.
SCAFFOLD = {"train": [1, 2, 3, 4, 5, 11, 12], "val": [6, 7], "test": [8, 9, 10]}
SECOND = (3, 6, 9, 12)  # have a second DFT stage
POINTS = (2, 6, 13)  # have two single points off the path
NO_GRADIENT = ("000000004", "dft_1st", 1)  # this frame printed none
BREAK = 5  # its Hartree-Fock stage starts elsewhere than PM3 ended

STAGES = {"pm3": 0, "hf": 1, "dft_1st": 2, "dft_2nd": 3, "dft_points": 4}
METHODS = {"pm3": "PM3", "hf": "RHF", "dft_1st": "R-B3LYP"}
_ELECTRONS = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F", 17: "CL"}


def frames(cid: str, stage: str) -> int:
    """Number of steps of a stage, 0 where there is none."""
    number = int(cid)
    steps = {"pm3": 3, "hf": 2, "dft_1st": 4 + number % 2}
    steps |= {"dft_2nd": 2 * (number in SECOND), "dft_points": 2 * (number in POINTS)}
    return steps[stage]


def energy(cid: str, stage: str, frame: int) -> float:
    """Hartree: -103.301 is the second frame of molecule 3's second DFT stage."""
    return -round(100 + int(cid) + STAGES[stage] / 10 + frame / 1000, 3)


@functools.cache
def base(cid: str) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers (n,) and positions (n,3) Å; hydrogens first, unlike RDKit has them."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(SMILES[int(cid)]))
    assert AllChem.EmbedMolecule(molecule, randomSeed=7) == 0
    AllChem.MMFFOptimizeMolecule(molecule)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])[::-1]
    return numbers, molecule.GetConformer().GetPositions()[::-1].round(6)


def pattern(cid: str, which: int) -> np.ndarray:
    """A distortion (n,3), its largest component 1 and its decimals few."""
    shape = base(cid)[1].shape
    values = np.random.default_rng([int(cid), which]).uniform(-1, 1, shape)
    return (values / np.abs(values).max()).round(3)


def positions(cid: str, stage: str, frame: int) -> np.ndarray:
    """(n,3) Å: each stage begins where the one before ended, on a straight way to the minimum."""
    geometry = base(cid)[1]
    if stage == "dft_points":
        return geometry + 0.05 * pattern(cid, 1 + frame)
    before = {"pm3": 0, "hf": 2, "dft_1st": 3, "dft_2nd": 2 + frames(cid, "dft_1st")}
    off = 0.5 * (int(cid) == BREAK and stage == "hf" and frame == 0) * np.eye(len(geometry), 3)
    return geometry + 0.01 * (10 - before[stage] - frame) * pattern(cid, 0) + off


def gradient(cid: str, stage: str, frame: int) -> np.ndarray:
    """(n,3) Hartree/bohr, seven decimals; every component its own, of either sign."""
    atoms = len(base(cid)[0])
    place = np.arange(3 * atoms).reshape(atoms, 3)
    size = int(cid) / 1000 + STAGES[stage] / 10_000 + frame / 100_000 + place / 1_000_000
    return (size * np.where(place % 2, -1, 1)).round(7)


def orbitals(cid: str, stage: str) -> tuple[float, float]:
    """HOMO and LUMO of a stage's last frame in Hartree, four decimals."""
    number = int(cid)
    return -round(0.25 + number / 1000, 4), round(0.05 + STAGES[stage] / 100, 4)


def last_stage(cid: str) -> str:
    """The stage whose end is the reference."""
    return "dft_2nd" if int(cid) in SECOND else "dft_1st"


def reference(cid: str) -> np.ndarray:
    """(n,3) Å, where DFT ended."""
    return positions(cid, last_stage(cid), frames(cid, last_stage(cid)) - 1)


def start(cid: str) -> np.ndarray:
    """(n,3) Å, where DFT began."""
    return positions(cid, "dft_1st", 0)


def gap(cid: str) -> float:
    """Electronvolt, of the last stage."""
    homo, lumo = orbitals(cid, last_stage(cid))
    return (lumo - homo) * HARTREE


def force(cid: str, stage: str, frame: int) -> np.ndarray:
    """(n,3) eV/Å, against the gradient."""
    return -gradient(cid, stage, frame) * HARTREE / BOHR


def snapshots(stages: list[str], cids: list[str]) -> list[tuple[str, str, int]]:
    """Molecule, stage and frame of all that has energy and gradient."""
    found = [(c, s, f) for c in cids for s in stages for f in range(frames(c, s))]
    return [place for place in found if place != NO_GRADIENT]


def _rows(numbers, values, form: str) -> str:
    return "".join(
        form.format(index, _ELECTRONS[z], z, *row)
        for index, (z, row) in enumerate(zip(numbers, values, strict=True), start=1)
    )


def log(cid: str, stage: str, only: int | None = None) -> str:
    """The text of a stage's log, or of one of its points."""
    numbers = base(cid)[0]
    basis = {"pm3": "PM3  IGAUSS=       0", "hf": "STO  IGAUSS=       6"}.get(
        stage, "N31  IGAUSS=       6"
    )
    electrons = int(numbers.sum())
    method = METHODS.get(stage, "R-B3LYP")
    functional = "B3LYP" if method == "R-B3LYP" else "NONE"
    text = (
        "          ******************************************************\n"
        "          *         GAMESS VERSION = 20 APR 2017 (R1)          *\n"
        "          ******************************************************\n\n"
        "     BASIS OPTIONS\n     -------------\n"
        f"     GBASIS={basis}      POLAR=NONE    \n"
        f"     NDFUNC={int(functional != 'NONE'):8d}     NFFUNC=       0     DIFFSP=       F\n"
        "     NPFUNC=       0      DIFFS=       F     BASNAM=        \n\n"
        " ATOM      ATOMIC                      COORDINATES (BOHR)\n"
        "           CHARGE         X                   Y                   Z\n"
    )
    steps = range(frames(cid, stage)) if only is None else [only]
    first = positions(cid, stage, steps[0]) / BOHR
    text += _rows(numbers, first, " {1:<10}{2:>5}.0{3:17.10f}{4:20.10f}{5:20.10f}\n")
    text += (
        f"\n TOTAL NUMBER OF BASIS SET SHELLS             ={20:5d}\n"
        f" NUMBER OF ELECTRONS                          ={electrons:5d}\n"
        " CHARGE OF MOLECULE                           =    0\n"
        " SPIN MULTIPLICITY                            =    1\n"
        f" NUMBER OF OCCUPIED ORBITALS (ALPHA)          ={electrons // 2:5d}\n"
        f" NUMBER OF OCCUPIED ORBITALS (BETA )          ={electrons // 2:5d}\n"
        f" TOTAL NUMBER OF ATOMS                        ={len(numbers):5d}\n\n"
        "     $CONTRL OPTIONS\n     ---------------\n"
        " SCFTYP=RHF          RUNTYP=OPTIMIZE     EXETYP=RUN     \n"
        " MPLEVL=       0     CITYP =NONE         CCTYP =NONE         VBTYP =NONE    \n"
        f" DFTTYP={functional:<8}     TDDFT =NONE    \n"
        " MULT  =       1     ICHARG=       0     ISPHER=      -1\n\n"
    )
    for frame in steps:
        text += (
            f"1NSERCH={frame:3d}\n\n"
            f" BEGINNING GEOMETRY SEARCH POINT NSERCH={frame:4d} ...\n\n"
            " COORDINATES OF ALL ATOMS ARE (ANGS)\n"
            "   ATOM   CHARGE       X              Y              Z\n"
            " ------------------------------------------------------------\n"
        )
        place = positions(cid, stage, frame)
        text += _rows(numbers, place, " {1:<11}{2:>3}.0{3:15.10f}{4:15.10f}{5:15.10f}\n")
        text += (
            f"\n FINAL {method} ENERGY IS {energy(cid, stage, frame):19.10f} AFTER  10 ITERATIONS\n"
        )
        if (cid, stage, frame) != NO_GRADIENT:
            text += (
                "\n                         ----------------------\n"
                "                         GRADIENT OF THE ENERGY\n"
                "                         ----------------------\n\n"
                f"          NSERCH={frame:3d}     ENERGY={energy(cid, stage, frame):17.7f}\n\n"
                "                                 -----------------------\n"
                "                                 GRADIENT (HARTREE/BOHR)\n"
                "                                 -----------------------\n"
                "        ATOM     ZNUC       DE/DX         DE/DY         DE/DZ\n"
                " --------------------------------------------------------------\n"
            )
            slopes = gradient(cid, stage, frame)
            text += _rows(numbers, slopes, "{0:5d}  {1:<4}{2:>8}.0{3:17.7f}{4:14.7f}{5:14.7f}\n")
            largest, square = abs(slopes).max(), (slopes**2).mean() ** 0.5
            text += (
                f"\n          MAXIMUM GRADIENT = {largest:.7f}    RMS GRADIENT = {square:.7f}\n\n"
            )
    if not (stage == "dft_1st" and int(cid) in (13, 15)) and only is None:
        text += "      ***** EQUILIBRIUM GEOMETRY LOCATED *****\n\n"
    if only is None and int(cid) != 14:
        occupied = electrons // 2
        levels = [*(-20 + 0.5 * np.arange(occupied - 1)), *orbitals(cid, stage)]
        text += "          ------------\n          EIGENVECTORS\n          ------------\n\n"
        for begin in range(0, len(levels), 5):
            row = levels[begin : begin + 5]
            text += " " * 15 + "".join(f"{begin + i + 1:11d}" for i in range(len(row))) + "\n"
            text += " " * 15 + "".join(f"{level:11.4f}" for level in row) + "\n\n"
    return text + " EXECUTION OF GAMESS TERMINATED NORMALLY\n"


def write_logs(folder) -> None:
    """Write the logs, one that is none, the identifiers and a foreign test set."""
    for cid in CIDS:
        for stage in STAGES:
            for point in range(frames(cid, stage)) if stage == "dft_points" else [None]:
                if frames(cid, stage) == 0:
                    continue
                name = stage if point is None else f"{stage}.{point}.rattle_{point}"
                path = folder / f"logs/{cid}/{cid}.{name}.log"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(log(cid, stage, point))
    (folder / "logs/000000001/000000001.dft_2nd.log").write_text("GAMESS VERSION = none\n")
    rows = ["cid,smiles,inchi"]
    for number, smiles in SMILES.items():
        rows.append(f'{number:09d},{smiles},"{Chem.MolToInchi(Chem.MolFromSmiles(smiles))}"')
    (folder / "molecules.csv").write_text("\n".join(rows) + "\n")
    (folder / "foreign.csv").write_text("smiles\nClC\n")
