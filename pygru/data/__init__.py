"""Bringing data into the form that models take."""

from pygru.data.co2 import load_co2
from pygru.data.long import from_long
from pygru.data.scaler import Scaler
from pygru.data.windows import windows

__all__ = ["Scaler", "from_long", "load_co2", "windows"]
