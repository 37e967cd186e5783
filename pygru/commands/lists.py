"""Lists in the values of options."""


def names(value: str | None) -> list[str]:
    """Return the names in the value of an option, which commas part."""
    return [] if value is None else [name.strip() for name in value.split(",")]
