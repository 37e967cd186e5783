"""A GRU in a file of Keras, whose caller may say hard_sigmoid and mean that of the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pygru.gru import GRU
from pygru.io.found import FoundGRU
from pygru.io.keras.functions import NEW_HARD_SIGMOID, OLD_HARD_SIGMOID, cell_activation


@dataclass(frozen=True)
class KerasGRU(FoundGRU):
    """What a file of Keras says about a GRU.

    Attributes
    ----------
    version : int or None
        The major version of Keras, if the file says it.
    """

    version: int | None = None

    def build(self, **options: Any) -> GRU:
        """Return this GRU; ``"hard_sigmoid"`` is the function that this version of Keras has.

        Raises
        ------
        TypeError
            If an option does not exist.
        ValueError
            If the file leaves open what is not given here, or contradicts what is. Also if
            ``"hard_sigmoid"`` is given, and the file does not say the version of Keras.
        """
        for name in ("activation", "recurrent_activation"):
            if isinstance(options.get(name), str) and options[name] == "hard_sigmoid":
                meant = cell_activation("hard_sigmoid", self.version)
                if meant is None:
                    raise ValueError(
                        f"{self.name or 'the GRU'}: {name}='hard_sigmoid' is another function "
                        "in Keras 3 than before, and the file does not say its version; pass "
                        f"{name}=('hard_sigmoid', 1 / {1 / NEW_HARD_SIGMOID[1]:.0f}, 0.5) for "
                        f"Keras 3, or {name}={OLD_HARD_SIGMOID} for Keras 1 and 2"
                    )
                options[name] = meant
        return super().build(**options)
