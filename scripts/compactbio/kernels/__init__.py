"""Kernels for GPUs, written in Triton; each has a plain formulation beside it that says what it computes."""
