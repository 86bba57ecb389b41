"""The published PaiNN's code, with plain torch operations for the compiled packages it imports."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def load(code: Path, radius_graph: Callable[..., Any]) -> Any:
    """Return the module of the file `code`; `radius_graph` is what torch_cluster's would be."""
    from torch_geometric.utils import scatter

    for name, attributes in (
        ("torch_scatter", {"scatter": scatter, "segment_coo": None}),
        ("torch_cluster", {"radius_graph": radius_graph}),
    ):
        stand_in = types.ModuleType(name)
        stand_in.__dict__.update(attributes)
        sys.modules[name] = stand_in
    spec = importlib.util.spec_from_file_location("published_painn", code)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
