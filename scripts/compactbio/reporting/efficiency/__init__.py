"""What models cost to use: the encoders of all models, and their fine-tuned forms for deployment on a CPU."""
