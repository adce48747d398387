"""Files that are there whole or not at all, and what may stand in one that comes from somebody else."""
