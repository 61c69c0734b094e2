"""The configuration checked and cut into one block a run, what takes part in it, and where results lie."""
