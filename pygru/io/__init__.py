"""Writing and reading model files."""
