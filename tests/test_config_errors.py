"""The configuration: what is not valid, and what the errors say."""

import pytest
import yaml

from force2geo.config import resolve
from force2geo.errors import UserError
from merged import merge

SMALL = {"layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}


@pytest.fixture
def config(repository, monkeypatch):
    monkeypatch.chdir(repository)
    return resolve(yaml.safe_load((repository / "config.yaml").read_text()), models=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pretrian": {}}, "unknown key 'pretrian'"),
        ({"pretrain": {"epoch": 3}}, "unknown key 'pretrain.epoch'"),
        ({"pretrain": {"epochs": 0}}, "pretrain.epochs: 0"),
        ({"pretrain": {"optimizer": {"name": "sgd"}}}, "pretrain.optimizer.name: 'sgd'"),
        (
            {"pretrain": {"schedule": {"name": "step"}}},
            "unknown key 'pretrain.schedule.warmup'; known here: gamma, name, step_size",
        ),
        (
            {"pretrain": {"schedule": {"name": "linear"}}},
            "pretrain.schedule.name: 'linear', not one of plateau, step, cosine",
        ),
        ({"run": "a/b"}, "run: 'a/b'"),
        (
            {"data": {"pretrain": {"charge_states": [[0, 0]]}}},
            "data.pretrain: data set pubchemqcr: charge_states: give pairs",
        ),
        (
            {"data": {"pretrain": {"charge_states": [1, 2]}}},
            "data.pretrain: data set pubchemqcr: 'charge_states.0' is 1, not a list",
        ),
        ({"data": {"benchmark": {"charge_states": []}}}, "charge_states: give pairs"),
        ({"data": {"pretrain": {"charges": []}}}, "pubchemqcr: it takes no 'charges', only"),
        ({"data": {"pretrain": {"sources": ["b3lyp"]}}}, "'sources.0' is 'b3lyp', not one of pm3"),
        ({"data": {"pretrain": {"from": "qm99"}}}, "data.pretrain: data set: unknown name 'qm99'"),
        ({"data": {"pretrain": {"as": "graphs"}}}, "data.pretrain.as: 'graphs'"),
        (
            {"data": {"own": {"from": "rmd17", "as": "molecules", "folder": "."}}},
            "data.own: data set rmd17: has no molecules, only snapshots",
        ),
        (
            {"data": {"own": {"from": "rmd17", "folder": "nowhere"}}},
            "data.own: no such file 'nowhere/aspirin_train_01.xyz.gz'; rMD17 is to be had from",
        ),
        ({"benchmark": {"data": "own"}}, "benchmark.data: 'own' is not described under data"),
        ({"property": {"data": "pretrain"}}, "property.data: 'pretrain' has no molecules"),
        ({"raw": {"logs": ["/nowhere"]}}, "raw.logs[0]: no such file or folder '/nowhere'"),
        ({"raw": {"identifiers": "no.csv"}}, "raw.identifiers: no such file or folder 'no.csv'"),
        ({"property": {"recipes": ["magic"]}}, "property.recipes.0: 'magic'"),
        ({"compare": {"x": {}}}, "compare.x: "),
        (
            {"compare": {"x": {"calculator": "a:B", "training": {}}}},
            "compare.x: calculator, training, not one of: calculator (and options)",
        ),
        ({"compare": {"x": {"training": {}}}}, "compare.x: training, not one of: calculator"),
        ({"compare": {"x": None}}, "compare.x: None, not one of: calculator (and options);"),
        ({"compare": {"x": {"calculator": "a:B", "optoins": {}}}}, "unknown key 'compare.x.opto"),
        ({"compare": {"x": {"calculator": "tblite"}}}, "compare.x.calculator: 'tblite' does not"),
        ({"compare": {"a.b": {"checkpoint": "config.yaml"}}}, "compare.a.b: the name does not"),
        (
            {"compare": {"x": {"checkpoint": "config.yaml", "options": {}}}},
            "compare.x: checkpoint, options, not one of: calculator (and options); checkpoint; "
            "model and training",
        ),
        (
            {"compare": {"x": {"checkpoint": "no.pt"}}},
            "compare.x.checkpoint: no such file or folder 'no.pt'",
        ),
        (
            {"compare": {"x": {"model": {}, "training": {}}}},
            "x.model: backbone painn: 'layers' is",
        ),
        (
            {"compare": {"x": {"model": SMALL | {"lmax": 2}, "training": {}}}},
            "compare.x.model: backbone painn: it takes no 'lmax', only layers, features",
        ),
        (
            {"compare": {"Force2Geo": {"calculator": "tblite.ase:TBLite"}}},
            "compare.Force2Geo: that is the row of this run's own potential",
        ),
        (
            {"compare": {"x": {"calculator": "nowhere:Thing"}}},
            "compare.x.calculator: no module 'nowhere' is installed",
        ),
        (
            {"compare": {"x": {"calculator": "ase.calculators.lj:LennardJone"}}},
            "compare.x.calculator: the module 'ase.calculators.lj' has no 'LennardJone'",
        ),
        (
            {"pretrain": {"baseline": "gfn9"}},
            "pretrain.baseline: 'gfn9', not one of gfn2-xtb, gfn1-xtb",
        ),
        (
            {"pretrain": {"baseline": {"calculator": "nowhere:Thing"}}},
            "pretrain.baseline: no module 'nowhere' is installed",
        ),
        (
            {"benchmark": {"baseline": {"calculator": "ase:Atoms", "options": {"charge": 1}}}},
            "benchmark.baseline: calculator 'ase:Atoms': its options name a charge, which is each",
        ),
        (
            {"compare": {"x": {"model": SMALL, "training": {"baseline": {"options": {}}}}}},
            "compare.x.training.baseline.calculator: missing",
        ),
        ({"models": {"painn": {"lmax": 2}}}, "models.painn: backbone painn: it takes no 'lmax'"),
        ({"models": {"x": {"cutoff": 1.0}}}, "models.x: backbone: unknown name 'x', choose one"),
        ({"tables": ["table2", "table99"]}, "tables: there is no table 'table99', only "),
        ({"figures": ["pie"]}, "figures: there is no figure 'pie', only active, atoms"),
        (
            {"models": {"schnet": {"variant": "published"}}},
            "models.schnet: backbone schnet: unknown",
        ),
        (
            {"select": {"fractions": {"train": 0.6, "val": 0.5, "test": 0.6}}},
            "select.fractions: 0.6 + 0.5 + 0.6 is 1.7; they must add up to 1",
        ),
        ({"select": {"fractions": {"train": 0.6, "val": 0.1, "test": 0.1}}}, "is 0.8; they must"),
        ({"curate": {"name_pattern": "(?P<cid>[0-9"}}, "curate.name_pattern: not a regular"),
        ({"curate": {"name_pattern": "(?P<cid>[0-9]+)"}}, "curate.name_pattern: must have"),
        ({"benchmark": {"batch_size": {"painn": None}}}, "benchmark.batch_size.painn: None"),
        (
            {"property": {"sweeps": {"noise": ["1e-5"]}}},
            "property.sweeps.noise.0: '1e-5', not a number of at least 0 (in YAML, a number in "
            "powers of ten has a point: 1.0e-5)",
        ),
        ({"benchmark": {"seeds": [7, 7]}}, "benchmark.seeds: [7, 7], one of them twice"),
        ({"benchmark": {"epochs": 0}}, "benchmark.epochs: 0, not a whole number of at least 1"),
        ({"resources": {"gpus": -1}}, "resources.gpus: -1"),
        ({"resources": {"gpus": True}}, "resources.gpus: True, not a whole number of at least 0"),
        ({"tables": ["table2", "table2"]}, "tables: ['table2', 'table2'], one of them twice"),
        ({"select": 3}, "select: 3, not keys with values"),
        ({"raw": {"logs": "demo"}}, "raw.logs: 'demo', not a list"),
        ({"run": None}, "run: None, not a text"),
        # Sections that are there need others.
        ({"raw": None}, "benchmark.data: 'benchmark' is made of logs, and neither raw.logs nor"),
        ({"data": {"x": {"split": "random"}}}, "data.x.from: missing, the name of a data set"),
        ({"data": None}, "data: None, not names with values"),
        ({"pretrain": None}, "property.recipes: force2prop needs the section pretrain"),
        (
            {"pretrain": None, "property": {"recipes": ["painn"], "sweeps": {"noise": [0.2]}}},
            "property.recipes: geometry_force2geo needs the section pretrain",
        ),
        ({"pretrain": None, "property": None}, "tables: table4: the configuration has no section"),
        ({"models": {"schnet": None}}, "models.schnet: None, not names with values"),
        ({"benchmark": {"backbones": ["egnn"]}}, "benchmark.backbones: 'egnn' is not described"),
        ({"pretrain": {"backbone": "egnn"}}, "pretrain.backbone: 'egnn' is not described under m"),
    ],
)
def test_errors_are_one_line_and_name_the_key(config, change, message):
    with pytest.raises(UserError) as caught:
        resolve(merge(config, change))
    assert message in str(caught.value) and "\n" not in str(caught.value)
