"""ASE calculators, called for molecules: in this process or in workers that outlive a call."""
