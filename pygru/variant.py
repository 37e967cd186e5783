"""The variants of the GRU: where the reset gate acts, and which state z multiplies."""

from __future__ import annotations

from dataclasses import dataclass

from pygru.core.pickled import CheckedState
from pygru.core.validation import check_choice


@dataclass(frozen=True)
class Variant(CheckedState):
    """The two independent choices in the equations of a GRU.

    Parameters
    ----------
    reset : {"before", "after"}
        Whether the reset gate acts on the state before its product with the recurrent matrix,
        ``tanh(W x + U (r * h) + b)``, or on the product,
        ``tanh(W x + b_i + r * (U h + b_h))``.
    update : {"replace", "keep"}
        Whether the update gate multiplies the candidate, ``(1 - z) * h + z * n``, or the old
        state, ``z * h + (1 - z) * n``.

    Notes
    -----
    ============  =======  =========  =====================================================
    name          reset    update     computed by
    ============  =======  =========  =====================================================
    ``chung``     before   replace    Chung et al. 2014; pygru's default
    ``cho``       before   keep       Cho et al. 2014 (v3), Keras ``reset_after=False``
    ``pytorch``   after    keep       ``torch.nn.GRU``, cuDNN, Keras' default
    ============  =======  =========  =====================================================

    Examples
    --------
    >>> import pygru
    >>> pygru.Variant(reset="after", update="keep") == pygru.Variant.named("pytorch")
    True
    """

    reset: str = "before"
    update: str = "replace"

    def __post_init__(self) -> None:
        check_choice("reset", self.reset, ("before", "after"))
        check_choice("update", self.update, ("replace", "keep"))

    @classmethod
    def named(cls, name: str | Variant) -> Variant:
        """Return the variant of a name, or the variant itself if it is one."""
        if isinstance(name, cls):
            return name
        if not isinstance(name, str):
            raise TypeError(f"variant must be a str or a Variant, got {type(name).__name__}")
        check_choice("variant", name, tuple(VARIANTS))
        return VARIANTS[name]

    @property
    def name(self) -> str | None:
        """The usual name of this variant, or None for the fourth combination."""
        return next((name for name, known in VARIANTS.items() if known == self), None)


VARIANTS = {
    "chung": Variant("before", "replace"),
    "cho": Variant("before", "keep"),
    "pytorch": Variant("after", "keep"),
}
