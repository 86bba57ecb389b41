"""Models that come with the package: README.md in this folder says how one is put here."""
