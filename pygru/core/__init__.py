"""The compiled boundary, and the Python code that is called directly before it."""
