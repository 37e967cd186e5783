"""The built-in targets: each module has ``run``, from a case to results, and ``about``."""
