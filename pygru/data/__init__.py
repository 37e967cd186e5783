"""Bringing data into the form that models take."""
