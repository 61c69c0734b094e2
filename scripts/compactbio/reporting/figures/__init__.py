"""The figures that are drawn from scores, measurements and trainings."""
