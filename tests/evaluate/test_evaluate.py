"""Metrics of appendix D, worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from force2geo.errors import UserError
from force2geo.evaluate.geometry import common, per_molecule
from force2geo.evaluate.measures import measures
from force2geo.relax.result import Relaxed
from force2geo.training_data.conformers import Conformers

KCAL = 1 / 627.5094740631
NAMES = ("start", "relaxed", "reference")


def made(energies, max_forces, dft_forces=None, status=None, outcomes=None, cids=None):
    """Single points, relaxations and downstream set of molecules of two atoms.

    `energies` are of (start, relaxed, reference), in kcal/mol. The bond is 1.2 Å
    in the start, 1.1 when relaxed, 1 in the reference.
    """
    count = len(energies)
    cids = cids or [f"{i:09d}" for i in range(count)]
    bond = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    dft_forces = dft_forces or [0.01] * count
    rows = [
        # No row but the relaxed one's has forces to be judged by; theirs would change the rate.
        {"cid": cid, "geometry": name, "energy": value * KCAL,
         "max_force": force if name == "relaxed" else 0.04 if force > 0.05 else 0.06,
         "outcome": "computed" if np.isfinite(value) else "failed", "error": ""}
        for cid, triple, force in zip(cids, energies, dft_forces, strict=True)
        for name, value in zip(NAMES, triple, strict=True)
    ]  # fmt: skip
    points = pd.DataFrame(rows)
    for place, name in outcomes or ():
        chosen = (points["cid"] == cids[place]) & (points["geometry"] == name)
        points.loc[chosen, ["outcome", "energy", "max_force"]] = ["not computed", np.nan, np.nan]
    relaxed = Relaxed(
        cids=cids, atomic_numbers=[np.array([6, 8])] * count, energy=np.zeros(count),
        max_force=np.array(max_forces), steps=np.ones(count),
        status=status or ["converged"] * count,
        frames=[np.array([bond * 1.2, bond * 1.1])] * count,
        forces=[np.zeros((2, 2, 3))] * count, frame_energy=[np.zeros(2)] * count,
        frame_max_force=[np.zeros(2)] * count, charge=np.zeros(count, int),
        multiplicity=np.ones(count, int),
    )  # fmt: skip
    conformers = Conformers(
        cids=cids, ptr=2 * np.arange(count + 1), atomic_numbers=np.tile([6, 8], count),
        targets={},
        geometry={"dft": np.tile(bond, (count, 1)), "hf": np.tile(2 * bond, (count, 1))},
        charge=np.zeros(count, int), multiplicity=np.ones(count, int),
    )  # fmt: skip
    return points, relaxed, conformers


def summary(molecules):
    return {name: one.value() for name, one in measures(molecules).items()}


def intervals(molecules):
    return {name: one.interval() for name, one in measures(molecules).items()}


def case(*arguments, **more):
    return per_molecule(*made(*arguments, **more))


def test_rates_are_equations_10_to_14():
    molecules = case(
        [
            (10.0, 0.5, 0.0),  # nearly all gained, within chemical accuracy
            (10.0, 5.0, 0.0),  # half gained
            (4.0, 6.0, 0.0),  # uphill: diverged
            (8.0, np.nan, 0.0),  # no self-consistent field: diverged, gained nothing
        ],
        [0.01, 0.04, 0.06, 0.2],
        [0.3, 0.04, 0.2, np.nan],
    )
    assert molecules["percent"].tolist() == pytest.approx([95.0, 50.0, -50.0, 0.0])
    assert molecules["residual"].tolist()[:3] == pytest.approx([0.5, 5.0, 6.0])
    assert molecules["failed"].tolist() == [False, False, False, True]
    found = summary(molecules)
    assert found["pct_energy"] == pytest.approx((95 + 50 - 50 + 0) / 4)
    assert found["pct_energy_median"] == pytest.approx(25.0)
    assert found["pct_energy_total"] == pytest.approx(100 * (9.5 + 5 - 2 + 0) / 32)
    assert found["pct_success"] == 25.0 and found["pct_diverged"] == 50.0
    assert found["pct_force"] == 50.0 and found["pct_force_dft"] == 25.0
    # Two atoms on a line, superposed: half of what the bond is too long.
    assert molecules["rmsd"].tolist()[:1] == pytest.approx([0.05])
    assert molecules["rmsd_start"].tolist() == pytest.approx([0.1] * 4)
    assert molecules["rmsd_heavy"].tolist() == pytest.approx([0.05] * 4)


@pytest.mark.parametrize("status", ["refused", "exploded"])
def test_a_relaxation_that_gave_no_geometry_fails_in_every_rate(status):
    # It ends where it started: within chemical accuracy, and its forces below the threshold.
    molecules = case(
        [(0.5, 0.5, 0.0), (10.0, 0.0, 0.0)], [0.01, 0.01], status=[status, "converged"]
    )
    assert molecules["failed"].tolist() == [True, False]
    found = summary(molecules)
    assert found["pct_success"] == 50.0 and found["pct_diverged"] == 50.0
    assert found["pct_force"] == 50.0 and found["pct_force_dft"] == 50.0
    assert found["pct_energy"] == 50.0
    assert found["pct_energy_total"] == pytest.approx(100 * 10 / 10.5)
    nothing = ["residual", "max_force", "max_force_dft", "rmsd"]
    assert molecules.loc[0, nothing].isna().all() and molecules.loc[0, "gained"] == 0
    # A whole table of them: an ASE calculator that always raises.
    found = summary(case([(0.5, 0.5, 0.0)] * 3, [0.01] * 3, status=[status] * 3))
    assert [found[f"pct_{rate}"] for rate in ("energy", "success", "force", "force_dft")] == [0] * 4
    assert found["pct_diverged"] == 100.0


def test_rounding_does_not_decide_divergence():
    noise = 1e-7  # kcal/mol
    molecules = case([(2.0, 2.0 + noise, 0.0), (2.0, 2.01, 0.0), (2.0, 2.0, 0.0)], [0.01] * 3)
    assert molecules["diverged"].tolist() == [False, True, False]


def test_rows_are_judged_on_the_molecules_that_all_could_be():
    energies = [(10.0, 0.5, 0.0)] * 5
    one = case(energies, [0.01] * 5, outcomes=[(0, "relaxed"), (1, "start")])
    other = case(energies, [0.01] * 5, outcomes=[(2, "reference")])
    assert one["judged"].tolist() == [False, False, True, True, True]
    # Not computed is not diverged, and no failure of the potential.
    assert not one["failed"].any() and not one["diverged"].any()
    judged = common({"one": one, "other": other})
    assert [table["cid"].tolist() for table in judged.values()] == [["000000003", "000000004"]] * 2
    # A relaxation that was refused has no end to compute, and is judged none the less.
    refused = case(energies, [0.01] * 5, status=["refused"] * 5, outcomes=[(0, "relaxed")])
    assert refused["judged"].all() and refused["failed"].all()
    with pytest.raises(UserError, match="no molecule was judged for all of a, b"):
        common({"a": one.iloc[:2], "b": other})


def test_tables_of_other_molecules_in_other_orders_are_matched():
    one = case([(10.0, 1.5, 0.0), (8.0, 0.5, 0.0)], [0.01] * 2, cids=["000000007", "000000005"])
    other = case([(8.0, 2.0, 0.0), (4.0, 2.0, 0.0), (10.0, 3.0, 0.0)], [0.01] * 3,
                 cids=["000000005", "000000006", "000000007"])  # fmt: skip
    judged = common({"one": one, "other": other})
    assert judged["other"]["cid"].tolist() == ["000000007", "000000005"]
    assert judged["other"]["residual"].tolist() == pytest.approx([3.0, 2.0])


def test_single_points_of_another_relaxation_are_refused():
    points, relaxed, conformers = made([(1.0, 0.5, 0.0), (1.0, 0.5, 0.0)], [0.01, 0.01])
    with pytest.raises(UserError, match="000000001 has no single points"):
        per_molecule(points[points["cid"] != "000000001"], relaxed, conformers)
    with pytest.raises(UserError, match="no column 'outcome'"):
        per_molecule(points.drop(columns="outcome"), relaxed, conformers)


def test_a_start_at_or_below_the_reference_has_no_percentage():
    molecules = case([(0.0, -0.1, 0.0), (-1.0, -1.5, 0.0)], [0.01, 0.01])
    assert molecules["percent"].isna().all()
    found = summary(molecules)
    assert np.isnan(found["pct_energy_total"])
    # Nor is what it gained told with the others' energy.
    assert summary(case([(-1.0, -1.5, 0.0), (4.0, 1.0, 0.0)], [0.01] * 2))[
        "pct_energy_total"
    ] == pytest.approx(75.0)
    assert np.isnan(found["pct_energy"]) and found["pct_success"] == 100.0
    assert found["pct_diverged"] == 0.0


def test_a_missing_reference_is_no_success_and_no_percentage():
    molecules = case([(10.0, 0.5, np.nan), (10.0, 0.5, 0.0)], [0.01, 0.01])
    assert molecules["residual"].isna().tolist() == [True, False]
    assert molecules["percent"].isna().tolist() == [True, False]
    found = summary(molecules)
    assert found["pct_success"] == 50.0 and found["pct_energy"] == pytest.approx(95.0)
    assert found["pct_diverged"] == 0.0


def test_without_an_energy_of_the_start_nothing_is_said_of_divergence():
    known, unknown = (10.0, 5.0, 0.0), (np.nan, 400.0, 0.0)
    assert summary(case([known, known, unknown], [0.01] * 3))["pct_diverged"] == 0.0
    up = case([(4.0, 6.0, 0.0), unknown], [0.01] * 2)
    assert summary(up)["pct_diverged"] == 100.0 and intervals(up)["pct_diverged"] == (100, 100)
    # One that exploded diverged whatever its start.
    lost = case([known, unknown], [0.01] * 2, status=["converged", "exploded"])
    assert summary(lost)["pct_diverged"] == 50.0


def test_intervals_are_as_wide_as_chance_makes_them():
    rng = np.random.default_rng(1)
    residual = np.where(rng.random(400) < 0.3, 0.5, 5.0)
    molecules = case([(10.0, end, 0.0) for end in residual], [0.01] * 400)
    found, sure = summary(molecules), intervals(molecules)
    low, high = sure["pct_success"]
    width = 2 * 1.96 * 100 * np.sqrt(0.3 * 0.7 / 400)  # of a binomial rate
    assert low < found["pct_success"] < high and high - low == pytest.approx(width, rel=0.1)
    assert sure["pct_force"] == (100.0, 100.0)
    assert all(not low > high for low, high in sure.values())
    assert sure["residual"][0] < residual.mean() < sure["residual"][1]
    assert intervals(molecules) == sure
    assert np.isnan(intervals(case([(0.0, 0.0, 0.0)], [0.01]))["pct_energy"][0])
