"""What a SLURM cluster reports of itself and of this workflow's jobs; nothing that decides a result."""
