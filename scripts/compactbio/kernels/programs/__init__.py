"""Programs of kernels in Triton, which is imported here alone: a machine without a GPU may lack it."""
