"""Text of quantum-chemistry programs to structures, energies and gradients, and back."""

from force2geo.logs.log import Log, LogError
from force2geo.logs.read import parse_log, read_log

__all__ = ["Log", "LogError", "parse_log", "read_log"]
