"""Training: optimisers, the trainer, its callbacks and its history."""
