"""Distillation and continual masked-language-model training: batches, objective terms, the step."""
