"""What a SLURM cluster says of itself and of this workflow's jobs; nothing that decides a result."""
