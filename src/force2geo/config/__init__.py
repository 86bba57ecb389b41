"""A run's configuration: typed classes, what follows from them, and each stage's settings."""

from force2geo.config.checks import missing_import
from force2geo.config.resolve import Resolved, resolve
from force2geo.config.stages import (
    STAGES,
    fingerprint,
    generated_shards,
    has,
    made_by_other_code,
    own_molecules,
    read_settings,
    shard_identifiers,
    shard_sources,
    stage_settings,
)

__all__ = [
    "STAGES",
    "Resolved",
    "fingerprint",
    "generated_shards",
    "has",
    "made_by_other_code",
    "missing_import",
    "own_molecules",
    "read_settings",
    "resolve",
    "shard_identifiers",
    "shard_sources",
    "stage_settings",
]
