"""Trajectories on disk: records, shards, index and packed snapshots."""
