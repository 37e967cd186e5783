"""The compiled boundary and what stands directly before it."""
