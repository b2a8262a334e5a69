"""The typed rows of a run folder and of a memory folder: read and written here and nowhere else."""
