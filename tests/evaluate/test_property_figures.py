"""Figures 4 to 6: every line is at the numbers typed in."""

import importlib

import numpy as np
import pytest
import yaml
from typed_runs import off_by, write_property_run

from force2geo.config import resolve
from force2geo.figures import figure4, figure5, figure6

RNG = np.random.default_rng(3)


@pytest.fixture
def config(repository, monkeypatch):
    monkeypatch.chdir(repository)
    given = yaml.safe_load((repository / "config.yaml").read_text())
    given["property"] |= {
        "recipes": ["painn", "force2prop", "force2prop_frozen", "random_frozen"],
        "sizes": [20, 40], "shares": [0.25], "seeds": [7, 8],
    }  # fmt: skip
    return resolve(given, models=False)


def write(folder, asked, of):
    """Write a run for each metrics file asked for; `of` says errors, history and molecules."""
    for told, path in asked["files"].items():
        if path.endswith("metrics.json") and not told.startswith("potential of"):
            errors, history, train = of(told)
            write_property_run(
                (folder / path).parent, *off_by(errors), history=history, train=train
            )


def lines(axis):
    """Labelled lines: their points."""
    handles, labels = axis.get_legend_handles_labels()
    found = {}
    for handle, told in zip(handles, labels, strict=True):
        line = handle[0] if isinstance(handle, tuple) else handle
        found[told] = np.column_stack(line.get_data()).astype(float)
    return found


def test_figure_4_is_the_mean_of_validation_by_epoch(config, tmp_path):
    asked = figure4.request(config)
    ends = {"fine-tuned": 0.1, "pretrained features": 0.4, "random features": 0.8}

    def of(told):
        (end,) = (value for key, value in ends.items() if key in told)
        shift = 0.02 if told.endswith("seed 8") else 0.0
        history = [{"epoch": float(e), "val_property_mae": end + shift + 1 / (1 + e)}
                   for e in range(3)]  # fmt: skip
        return np.full(4, end), history, 8

    write(tmp_path, asked, of)
    (axis,) = figure4.draw(asked, tmp_path).axes
    found = lines(axis)
    assert set(found) == set(figure4.ROWS)
    for row, end in zip(figure4.ROWS, (0.1, 0.4, 0.8), strict=True):
        np.testing.assert_allclose(found[row][:, 0], [1, 2, 3])
        np.testing.assert_allclose(found[row][:, 1], end + 0.01 + 1 / np.array([1, 2, 3]))
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(0.1 + 1 / 3) and band.max() == pytest.approx(1.12)


def test_figure_5_counts_the_potential_s_snapshots(config, tmp_path):
    asked = figure5.request(config)
    errors = {"0": 0.5, "0.25": 0.3, "1": 0.2}
    sizes = {"0.25": 111, "1": 444}
    for share, size in sizes.items():
        path = tmp_path / asked["files"][f"potential of {share}"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"sizes": {{"train": {size}}}}}')
    write(
        tmp_path, asked,
        lambda told: (np.full(4, errors[told.split(": ")[1].partition(",")[0]]), [], 8),
    )  # fmt: skip
    axes = figure5.draw(asked, tmp_path).axes
    assert [axis.get_title() for axis in axes] == ["random split", "scaffold split"]
    np.testing.assert_allclose(lines(axes[0])["Force2Prop"], [[0, 0.5], [111, 0.3], [444, 0.2]])


def test_figure_6_is_by_molecules_of_each_run(config, tmp_path):
    asked = figure6.request(config)

    def of(told):
        size = {"20": 20, "40": 40, "main": 118}[told.split(", ")[1]]
        gain = 0.0 if "scratch" in told else 4 / size
        shift = {"7": 0.0, "8": 0.02}[told[-1]]
        return np.full(4, 10 / size - gain + shift), [], size

    write(tmp_path, asked, of)
    axes = figure6.draw(asked, tmp_path).axes
    for axis in axes:
        found = lines(axis)
        sizes = np.array([20, 40, 118])
        np.testing.assert_allclose(
            found["from scratch"], np.column_stack([sizes, 10 / sizes + 0.01]), rtol=1e-6
        )
        np.testing.assert_allclose(
            found["Force2Prop"], np.column_stack([sizes, 6 / sizes + 0.01]), rtol=1e-6
        )
        assert [text.get_text() for text in axis.get_xticklabels()] == ["20", "40", "118"]
    bars = axes[0].containers[0].lines[2][0].get_segments()
    deviation = np.std([0.0, 0.02], ddof=1)
    assert np.ptp(bars[0][:, 1]) == pytest.approx(2 * deviation, rel=1e-5)


@pytest.mark.parametrize("name", ["figure4", "figure5", "figure6"])
def test_a_run_without_the_trainings_draws_no_line(config, tmp_path, name):
    module = importlib.import_module(f"force2geo.figures.{name}")
    asked = module.request(config)
    asked["files"] = {told: path for told, path in asked["files"].items() if "potential" in told}
    for path in asked["files"].values():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('{"sizes": {"train": 5}}')
    for axis in module.draw(asked, tmp_path).axes:
        assert not axis.lines
