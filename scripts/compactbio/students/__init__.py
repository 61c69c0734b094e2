"""Tokenizers, checkpoints from a hub or a folder, and the models that pre-training starts from."""
