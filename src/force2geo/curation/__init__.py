"""From logs to a store: assembling, identities, merging, statistics."""
