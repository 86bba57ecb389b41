"""Backbones, heads and the models made of them."""
