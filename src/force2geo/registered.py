"""Things found by name: a file of ours in a package, or an entry point of another package.

Nothing is imported before it is asked for, so that what needs a package that is not installed is
in nobody's way.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint


@dataclass(frozen=True)
class Registry:
    """The files of a package (`package`, its full name), each naming its class `attribute`.

    Other packages add to them by entry points of the `group`; of two of one name ours counts.
    `what` is what one is called in messages, `extra(name)` the extra that installs what it needs.
    """

    what: str
    package: str
    attribute: str
    group: str
    extra: Callable[[str], str] = lambda name: name

    def _own(self) -> set[str]:
        spec = find_spec(self.package)
        assert spec is not None and spec.submodule_search_locations is not None
        return {one.name for one in pkgutil.iter_modules(spec.submodule_search_locations)}

    def _registered(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def names(self) -> list[str]:
        """Return all names, installed or not."""
        return sorted(self._own() | set(self._registered()))

    def check(self, name: Any) -> None:
        """Raise `UserError` for an unknown name."""
        # Who else brings some is looked for in all packages, which takes a while.
        if name not in self._own() and name not in self._registered():
            known = ", ".join(self.names())
            raise UserError(f"{self.what}: unknown name '{name}', choose one of {known}")

    def find(self, name: str, base: type) -> Any:
        """Return the class of a name, a subclass of `base`.

        `UserError` for an unknown name, and with the extra to install where a package is missing.
        """
        self.check(name)
        try:
            if name in self._own():
                module = importlib.import_module(f"{self.package}.{name}")
                found = getattr(module, self.attribute)
            else:
                found = self._registered()[name].load()
        except ImportError as error:
            raise UserError(
                f"{self.what} {name}: {error}; "
                f"`pip install 'force2geo[{self.extra(name)}]'` installs what it needs"
            ) from error
        if not (isinstance(found, type) and issubclass(found, base)):
            raise UserError(f"{self.what} {name}: {found!r} is no subclass of {base.__name__}")
        return found
