"""What a run's configuration asks for, as records: plain values, each the settings of one job."""
