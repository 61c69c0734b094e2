"""What a training step and its input cost, against the plain formulation of the reference code."""
