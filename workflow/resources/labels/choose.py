"""Choose the molecules that are labelled, and those kept apart to test relaxations on.

    python choose.py QM9PACK CHEMICALS OUT

QM9PACK and CHEMICALS are the unpacked wheels of qm9pack 1.0.3 and chemicals 1.5.2. Writes pool.csv,
in the random order in which molecules are labelled, and d_opt_120.csv (columns cid, smiles, inchi,
charge and origin). Molecules of QM9 have no CID known here: theirs is 991000000 plus their number;
that of an ion 992000000 plus its place among the ions made.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

from rdkit import Chem, RDLogger
from rdkit.Chem import Descriptors, rdDistGeom, rdFingerprintGenerator, rdMolDescriptors
from rdkit.DataStructs import TanimotoSimilarity
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

SEED = 7
HERE = Path(__file__).parent
DEMO = HERE.parent / "demo" / "molecules.csv"
ELEMENTS = {"H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br"}
RARE = ELEMENTS - {"H", "C", "N", "O", "F"}
# How many of each kind the pool has, up to seven heavy atoms and above: 3,000 in all.
QM9, HETERO, CATIONS, ANIONS = (1000, 650), (900, 150), (120, 30), (120, 30)
TESTED, TESTED_IONS, SPARE = 120, 12, 8
# A proton more or less where chemistry puts it: amines, pyridines; acids, thiols, phenols, azoles.
PROTONS = (
    ("[N;X3;H2,H1,H0;!$(N-[C,S,P]=[O,S,N]);!$(N-[a,N,O,S]);!$(N-C=C):1]", +1),
    ("[n;X2;r6:1]", +1),
    ("[O;H1:1]-[C,S,P]=O", -1),
    ("[S;H1:1]-[#6]", -1),
    ("[O;H1:1]-c", -1),
    ("[n;H1:1]", -1),
)


def key(molecule: Chem.Mol) -> str:
    """Return the skeleton: the first block of the InChIKey."""
    return Chem.MolToInchiKey(molecule)[:14]


def fits(molecule: Chem.Mol | None) -> bool:
    """Say whether a molecule is of this project's kind: one piece, closed shell, our elements."""
    if molecule is None or not 2 <= molecule.GetNumHeavyAtoms() <= 9:
        return False
    atoms = list(molecule.GetAtoms())
    return (
        "." not in Chem.MolToSmiles(molecule)
        and {atom.GetSymbol() for atom in atoms} <= ELEMENTS
        and any(atom.GetSymbol() == "C" for atom in atoms)
        and not any(atom.GetNumRadicalElectrons() or atom.GetIsotope() for atom in atoms)
    )


def qm9(folder: Path) -> list[tuple[str, Chem.Mol, str]]:
    """Return QM9's molecules."""
    csv.field_size_limit(1 << 30)
    found = []
    for path in sorted((folder / "qm9pack" / "data").glob("qm9_part*.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                molecule = Chem.MolFromSmiles(row["SMILES"])
                if fits(molecule):
                    found.append((str(991000000 + int(row["Index"])), molecule, "qm9"))
    return sorted(found)


def hetero(folder: Path) -> list[tuple[str, Chem.Mol, str]]:
    """Return neutral molecules of `chemicals` with an element that QM9 lacks."""
    found = []
    name = "chemical identifiers pubchem large.tsv"
    for line in (folder / "chemicals" / "Identifiers" / name).read_text().splitlines():
        cid, _, _, _, smiles = line.split("\t")[:5]
        molecule = Chem.MolFromSmiles(smiles)
        if not fits(molecule) or Chem.GetFormalCharge(molecule) or int(cid) <= 0:
            continue
        if {atom.GetSymbol() for atom in molecule.GetAtoms()} & RARE:
            found.append((f"{int(cid):09d}", molecule, "chemicals"))
    return sorted(found)


def ions(parents: list[tuple[str, Chem.Mol, str]]) -> list[tuple[str, Chem.Mol, str]]:
    """Return parents with a proton more or less, one ion of each at most."""
    found = []
    patterns = [(Chem.MolFromSmarts(text), charge) for text, charge in PROTONS]
    for _, parent, _ in parents:
        for pattern, charge in patterns:
            match = parent.GetSubstructMatch(pattern)
            if not match or Chem.GetFormalCharge(parent):
                continue
            changed = Chem.RWMol(parent)
            atom = changed.GetAtomWithIdx(match[0])
            hydrogens = atom.GetTotalNumHs() + charge
            atom.SetFormalCharge(charge)
            atom.SetNoImplicit(True)
            atom.SetNumExplicitHs(hydrogens)
            molecule = Chem.MolFromSmiles(Chem.MolToSmiles(changed))
            if fits(molecule) and Chem.GetFormalCharge(molecule) == charge:
                found.append((str(992000000 + len(found)), molecule, "ion"))
                break
    return found


def main() -> None:
    """Write both lists."""
    RDLogger.DisableLog("rdApp.*")
    draw = random.Random(SEED)
    source_qm9, source_hetero, out = map(Path, sys.argv[1:4])
    with DEMO.open(newline="") as file:
        taken = {key(Chem.MolFromSmiles(row["smiles"])) for row in csv.DictReader(file)}

    def fresh(molecules: list[tuple[str, Chem.Mol, str]], count: int) -> list:
        """Draw `count` molecules whose skeleton nothing has yet."""
        kept = []
        for one in draw.sample(molecules, len(molecules)):
            if len(kept) == count:
                break
            skeleton = key(one[1])
            if skeleton and skeleton not in taken:
                taken.add(skeleton)
                kept.append(one)
        return kept

    all_qm9, all_hetero = qm9(source_qm9), hetero(source_hetero)

    def both(molecules: list[tuple[str, Chem.Mol, str]], counts: tuple[int, int]) -> list:
        """Draw molecules of up to seven heavy atoms, and larger ones."""
        small = [one for one in molecules if one[1].GetNumHeavyAtoms() <= 7]
        large = [one for one in molecules if one[1].GetNumHeavyAtoms() > 7]
        return fresh(small, counts[0]) + fresh(large, counts[1])

    # Those to test on are the most diverse of a tenth of everything, before anything is labelled.
    neutral = both(all_qm9, (200, 200)) + fresh(all_hetero, 400)
    charged = fresh(ions(draw.sample(all_qm9 + all_hetero, 2000)), 60)
    tested = pick(neutral, TESTED - TESTED_IONS) + pick(charged, TESTED_IONS)
    pool = both(all_qm9, QM9) + both(all_hetero, HETERO)
    made = ions(draw.sample(all_qm9 + all_hetero, 40000))
    pool += both([one for one in made if Chem.GetFormalCharge(one[1]) > 0], CATIONS)
    pool += both([one for one in made if Chem.GetFormalCharge(one[1]) < 0], ANIONS)
    draw.shuffle(pool)
    write(out / "d_opt_120.csv", tested)
    write(out / "pool.csv", pool)


def pick(molecules: list, count: int) -> list:
    """Return the `count` most diverse: MaxMin, Tanimoto, Morgan, the first at random.

    Those that RDKit cannot embed are passed over: relaxations start from its conformers.
    """
    maker = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [maker.GetFingerprint(molecule) for _, molecule, _ in molecules]
    chosen = MaxMinPicker().LazyPick(
        lambda i, j: 1 - TanimotoSimilarity(prints[i], prints[j]),
        len(prints), count + SPARE, seed=SEED,
    )  # fmt: skip
    return [molecules[place] for place in chosen if embeds(molecules[place][1])][:count]


def embeds(molecule: Chem.Mol) -> bool:
    """Say whether ETKDG finds a conformer."""
    return rdDistGeom.EmbedMolecule(Chem.AddHs(molecule), randomSeed=SEED) == 0


def write(path: Path, molecules: list) -> None:
    """Write a list and say what is in it."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["cid", "smiles", "inchi", "charge", "origin"])
        for cid, molecule, origin in molecules:
            smiles = Chem.MolToSmiles(molecule)
            charge = Chem.GetFormalCharge(molecule)
            writer.writerow([cid, smiles, Chem.MolToInchi(molecule), charge, origin])
    heavy = [molecule.GetNumHeavyAtoms() for _, molecule, _ in molecules]
    rotors = [rdMolDescriptors.CalcNumRotatableBonds(molecule) for _, molecule, _ in molecules]
    weights = [Descriptors.MolWt(molecule) for _, molecule, _ in molecules]
    elements = {
        symbol: sum(any(a.GetSymbol() == symbol for a in m.GetAtoms()) for _, m, _ in molecules)
        for symbol in sorted(ELEMENTS)
    }
    print(
        f"{path.name}: {len(molecules)} molecules, {sum(n >= 8 for n in heavy)} of 8 or 9 heavy "
        f"atoms, {sum(n >= 3 for n in rotors)} with three rotatable bonds or more, up to "
        f"{max(weights):.0f} Da, with {elements}"
    )


main()
