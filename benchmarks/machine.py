"""What every benchmark notes of where it ran."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_PACKAGES = ("numpy", "zstandard", "lmdb", "torch", "snakemake", "pyscf", "rdkit")


def describe() -> dict[str, Any]:
    """Return processor, cores, Python and the packages that matter."""
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="ascii") as handle:  # noqa: PTH123
            names = [line.split(":", 1)[1].strip() for line in handle if "model name" in line]
        processor = names[0] if names else processor
    except OSError:
        pass
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": packages,
    }


def write(path: Path, result: dict[str, Any]) -> None:
    """Write a result as JSON."""
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")
