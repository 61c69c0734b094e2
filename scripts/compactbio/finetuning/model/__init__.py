"""A model with a task's head: loaded from a folder, made to step, asked for logits."""
