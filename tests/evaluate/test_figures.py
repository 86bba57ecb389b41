"""What is drawn: the numbers of lines, points and bars, worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from force2geo.evaluate import data_figures, figures


def lines(axis):
    """Return the (x, y) of each line, by its label."""
    return {line.get_label(): np.array(line.get_data()).tolist() for line in axis.get_lines()}


def bars(axis):
    """Return the middle and the height of each bar."""
    return [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axis.patches]


def test_training_curves_count_epochs_from_one():
    rows = [
        {"epoch": k, "val_force_rmse": 80.0 - 10 * k, "val_energy_mae": 7.0 - k,
         "val_force_rmse_zero": 90.0}
        for k in range(3)
    ]  # fmt: skip
    forces, energies = figures.training_curves({"PaiNN": rows}).axes
    assert lines(forces)["PaiNN"] == [[1, 2, 3], [80.0, 70.0, 60.0]]
    assert lines(forces)["predicting zero"][1] == [90.0, 90.0]
    assert lines(energies)["PaiNN"] == [[1, 2, 3], [7.0, 6.0, 5.0]]


def test_parity_of_a_potential_is_of_components_and_of_energies_per_atom():
    found = {
        "test/forces_true": np.array([[-1.0, 0, 2], [0.5, 0, 0]]),
        "test/forces": np.array([[-1.5, 0, 1], [0.25, 0, 0]]), "test/atoms": np.array([2, 4]),
        "test/energy_true": np.array([-10.0, -20.0]), "test/energy": np.array([-9.994, -20.004]),
    }  # fmt: skip
    forces, energies = figures.parity_potential(found).axes
    points = forces.collections[0].get_offsets().data
    np.testing.assert_allclose(
        points, [[-1, -1.5], [0, 0], [2, 1], [0.5, 0.25], [0, 0], [0, 0]], atol=1e-12
    )
    (diagonal,) = lines(forces).values()
    assert diagonal == [[-1.5, 2.0], [-1.5, 2.0]]
    # 6 meV over two atoms and −4 over four: from −1 to 3 meV/atom.
    heights = [height for _, height in bars(energies)]
    assert heights == [1, *[0] * 28, 1]
    ends = energies.patches[0].get_x(), energies.patches[-1].get_x() + energies.patches[-1]._width
    assert ends == pytest.approx((-1.0, 3.0))


def test_parity_of_properties_is_by_recipe():
    made = {
        name: {"test/property_true": np.array([4.0, 6.0]), "test/property": np.array(values)}
        for name, values in (("one", [4.5, 5.0]), ("two", [3.0, 6.5]))
    }
    (axis,) = figures.parity_property(made).axes
    points = {c.get_label(): c.get_offsets().data.tolist() for c in axis.collections}
    assert points == {"one": [[4.0, 4.5], [6.0, 5.0]], "two": [[4.0, 3.0], [6.0, 6.5]]}
    (diagonal,) = lines(axis).values()
    assert diagonal == [[3.0, 6.5], [3.0, 6.5]]


def test_relaxations_are_drawn_in_mev_above_their_ends():
    relaxed = SimpleNamespace(
        frame_energy=[np.array([-1.0, -1.5, -1.25])], frame_max_force=[np.array([2.0, 0.5, 0.01])]
    )
    forces, energies = figures.relaxation_curves(relaxed, 0.05).axes
    path, threshold = lines(forces).values()
    assert path == [[0, 1, 2], [2.0, 0.5, 0.01]] and threshold[1] == [0.05, 0.05]
    ((steps, above),) = lines(energies).values()
    assert steps == [0, 1, 2] and above == [250.0, -250.0, 0.0]


def test_residual_energies_stand_by_what_was_to_gain():
    (axis,) = figures.residual_energies(np.array([0.5, 3.0, -1.0]), np.array([9.0, 2.0, 5.0])).axes
    start, end = bars(axis)[:3], bars(axis)[3:]
    np.testing.assert_allclose(start, [(-0.2, 2.0), (0.8, 5.0), (1.8, 9.0)])
    np.testing.assert_allclose(end, [(0.2, 3.0), (1.2, -1.0), (2.2, 0.5)])
    assert lines(axis)["chemical accuracy"][1] == [1.0, 1.0]


def test_figures_of_a_store_show_its_counts():
    def stage(snapshots, by_steps):
        return {"snapshots": snapshots, "trajectories": sum(by_steps.values()),
                "mean_snapshots": 2.25, "trajectories_by_steps": by_steps}  # fmt: skip

    counts = {
        "pm3": stage(9, {"2": 3, "3": 1}), "hf": stage(0, {}), "dft_1st": stage(1200, {"40": 30}),
        "dft_2nd": stage(0, {}), "dft_points": stage(5, {"5": 1}),
        "molecules_by_atoms": {"9": 4, "12": 1}, "molecules_by_element": {"H": 5, "C": 2},
    }  # fmt: skip
    names = ("snapshots", "steps", "atoms", "elements")
    drawn = {name: getattr(data_figures, name)(counts).axes for name in names}
    assert [height for _, height in bars(drawn["snapshots"][0])] == [9, 0, 1200, 0, 5]
    assert [text.get_text() for text in drawn["snapshots"][0].texts][2] == "1,200"
    # Stages that the store does not have are left out.
    assert [axis.get_title() for axis in drawn["steps"]] == ["pm3, mean 2.2", "dft_1st, mean 2.2"]
    assert bars(drawn["steps"][0]) == [(2, 3), (3, 1)] and bars(drawn["steps"][1]) == [(40, 30)]
    assert bars(drawn["atoms"][0]) == [(9, 4), (12, 1)]
    assert [height for _, height in bars(drawn["elements"][0])] == [5, 2]
