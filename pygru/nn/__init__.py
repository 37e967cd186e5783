"""Layers beside the GRU, losses and initial weights."""
