"""Micro-batches: cut with little padding, or packed without any for a CPU, and the attention that reads these."""
