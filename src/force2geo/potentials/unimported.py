"""What a backbone's file says, read without running it: torch and other packages take seconds."""

from __future__ import annotations

import ast
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_PACKAGE = __name__.partition(".")[0]


@lru_cache
def _tree(path: Path) -> ast.Module | None:
    return ast.parse(path.read_text(encoding="utf-8")) if path.exists() else None


def about(name: str) -> dict[str, Any]:
    """Return the plain values of a file's `About`, nothing for a network that is not ours."""
    tree = _tree(_HERE / "backbones" / f"{name}.py")
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "About":
            return {
                str(word.arg): word.value.value
                for word in node.keywords
                if isinstance(word.value, ast.Constant)
            }
    return {}


def missing(name: str) -> list[str]:
    """Return the packages that a network of ours imports and that are not installed.

    Of one that another package brings nothing is known before it is imported.
    """
    packages = _imported(_HERE / "backbones" / f"{name}.py")
    return sorted(package for package in packages if not _found(package))


@lru_cache
def _found(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@lru_cache
def _imported(path: Path) -> frozenset[str]:
    """Return the packages that a file imports, and files of ours with it, but for types alone."""
    tree, found = _tree(path), set[str]()
    for node in _run(tree) if tree else ():
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
        for module in modules:
            package, _, rest = module.partition(".")
            if package == _PACKAGE and rest.startswith("potentials."):
                found |= _imported(
                    _HERE / f"{rest.removeprefix('potentials.').replace('.', '/')}.py"
                )
            elif package not in (_PACKAGE, "__future__"):
                found.add(package)
    return frozenset(found)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of what is run, which the block for type checkers is not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        yield child
        yield from _run(child)
