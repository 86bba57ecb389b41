"""Other layouts in and out: the published data set's LMDB, archives of logs, raw results."""
