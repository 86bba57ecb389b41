"""Relaxation of molecules on a potential."""
