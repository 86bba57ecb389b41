"""Trajectories on disk: records, shards and their index."""
