"""Properties of molecules that users bring: models, how far they can be trusted, tables."""
