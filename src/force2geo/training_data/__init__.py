"""What is trained and relaxed: packed snapshots, molecules with their geometries."""
