"""Subcommands: each module adds its arguments and runs one stage."""
