"""Benchmark data: from the official files of a data set to one canonical form per kind of task."""
