"""What is different, and what replicated: resampling, intervals, tests, verdicts."""
