"""Fine-tuning on the prepared datasets: features, heads, training, stored predictions."""
