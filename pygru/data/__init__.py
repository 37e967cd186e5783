"""Bringing data into the form that models take."""

from pygru.data.co2 import load_co2

__all__ = ["load_co2"]
