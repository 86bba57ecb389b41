"""What is said of a backbone without importing it."""

import subprocess
import sys

import pytest

from force2geo.potentials import registry, unimported


def test_nothing_is_imported_to_say_what_is_missing():
    code = (
        "import sys; from force2geo.potentials.unimported import missing, about\n"
        "missing('mace'), about('nequip'), missing('equiformer')\n"
        "print({'torch', 'e3nn', 'mace', 'nequip'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("painn", []), ("egnn", []), ("equiformer", ["e3nn"]), ("pace", ["e3nn"]),
        ("nequip", ["e3nn", "nequip"]), ("allegro", ["allegro", "e3nn", "nequip"]),
        ("mace", ["e3nn", "mace"]), ("sevennet", ["sevenn"]), ("torchmd_net", ["torchmdnet"]),
    ],
)  # fmt: skip
def test_the_packages_that_a_network_needs(name, packages, monkeypatch):
    ours = ("torch", "numpy", "scipy", "math", "typing", "dataclasses", "contextlib", "sys")
    known = set(sys.stdlib_module_names) | set(ours)
    monkeypatch.setattr(unimported, "_found", lambda package: package in known)
    assert unimported.missing(name) == packages


def test_a_file_says_what_its_class_says():
    said = unimported.about("pace")
    about = registry.find("pace").about
    assert said["title"] == about.title and said["extra"] == about.extra == "e3nn"
    assert unimported.about("of_another_package") == {}
