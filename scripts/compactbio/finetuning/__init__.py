"""Fine-tuning on the prepared datasets: examples of a kind of task, a model with its head, its runs, predictions."""
