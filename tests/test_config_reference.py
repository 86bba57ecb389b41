"""What is written from the configuration's classes, and the command that writes it."""

import dataclasses
import json
import re

import jsonschema
import pytest
import yaml

from force2geo.cli import main
from force2geo.config import resolve
from force2geo.config.reference import reference, schema_text
from force2geo.config.whole import Config
from force2geo.settings import hints, members


@pytest.fixture(autouse=True)
def _here(repository, monkeypatch):
    monkeypatch.chdir(repository)


def test_schema_and_page_are_what_the_classes_say(repository):
    """`make reference` writes them."""
    held = repository / "workflow/schemas/config.schema.json"
    assert held.read_text(encoding="utf-8") == schema_text()
    assert (repository / "docs/config.md").read_text(encoding="utf-8") == reference()


def test_an_editor_takes_what_is_shipped_and_marks_what_is_wrong(repository):
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    validator.check_schema(validator.schema)
    shipped = [*(repository / "workflow/config").glob("*.yaml"), repository / "config.yaml"]
    for path in shipped:
        given = yaml.safe_load(path.read_text())
        validator.validate(given)
        validator.validate(dict(resolve(given, models=False)))
    for key, wrong in (
        ("pretrain", {"epoch": 3}),
        ("pretrain", {"schedule": {"name": "step", "warmup": 0.1}}),
        ("compare", {"x": {"training": {}}}),
        ("compare", {"x y": {"checkpoint": "a.pt"}}),
        ("property", {"recipes": ["magic"]}),
        ("data", {"x y": {"from": "pubchemqcr"}}),
        ("runs", 1),
    ):
        assert not validator.is_valid({"run": "x", key: wrong}), (key, wrong)
        assert validator.is_valid({"run": "x"})


def keys(cls):
    """Every key there is, by class, found without the code that writes the page."""
    for one in dataclasses.fields(cls):
        yield one
        kind = hints(cls)[one.name]
        for inside in [*members(kind), *getattr(kind, "__args__", ())]:
            for each in members(inside):
                if dataclasses.is_dataclass(each):
                    yield from keys(each)


def test_every_key_has_a_meaning_on_the_page():
    page = reference()
    found = list(keys(Config))
    assert len(found) > 100
    sections = [one for one in dataclasses.fields(Config) if f"\n## {one.name}\n" in page]
    assert {"raw", "generate", "select", "pretrain", "dft"} < {one.name for one in sections}
    for one in found:
        if one in sections:
            continue
        says = re.escape(one.metadata["says"].replace("|", "\\|"))
        unit = re.escape(one.metadata["unit"])
        assert re.search(rf"^\| `{one.name}` \| [^\n]+ \| {unit} \| [^\n]+ \| {says} \|$", page,
                         re.MULTILINE), one.name  # fmt: skip
    # A link leads to a heading.
    for anchor in set(re.findall(r"\]\(#(\w+)\)", page)):
        assert re.search(rf"^### {anchor}$", page, re.MULTILINE | re.IGNORECASE), anchor


def test_a_default_on_the_page_is_one_of_the_paper_s():
    page = reference()
    assert "| `d_opt_size` | whole number ≥ 1 | molecules | `1000` |" in page
    assert "| `noise` | number ≥ 0 | Å | `0.1` |" in page
    assert '| `optimizer` | [Optimizer](#optimizer) |  | `{"learning_rate": 0.001}` |' in page
    assert "| `sample` | whole number ≥ 0 |  | `1` |" in page


def test_the_command_prints_a_run_with_its_defaults(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("run: mine\nselect: {d_opt_size: 5}\nseed: 3\n")
    assert main(["config", "workflow/config/paper.yaml", str(tmp_path / "mine.yaml")]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["run"] == "mine" and found["seed"] == 3 and found["dft"]["grid_level"] == 3
    # Key by key: the paper's subset is still there.
    assert found["select"]["d_opt_size"] == 5 and found["select"]["subset_size"] == 40979
    assert dict(resolve(found, models=False)) == found
    assert main(["config", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "force2geo configuration"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "wrong.yaml: cannot be read (No such file"),
        ("run: [", "wrong.yaml: not YAML ("),
        ("- run", "wrong.yaml: not a configuration, keys with values"),
        ("runs: x", "config: unknown key 'runs'"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, capsys, text, message):
    path = tmp_path / "wrong.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["config", str(path)]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
