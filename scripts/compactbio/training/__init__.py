"""The training loop that pretraining and finetuning share: steps, checkpoints, deadlines, progress."""
