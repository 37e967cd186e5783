"""GRUs with weights of 8 bits, for inference: parameters, classes, and what they cost."""
