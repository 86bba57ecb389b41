"""Networks, one file each; `force2geo.potentials.registry` finds them by their file's name."""
