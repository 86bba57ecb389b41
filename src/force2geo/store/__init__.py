"""Trajectories on disk: records and shards."""
