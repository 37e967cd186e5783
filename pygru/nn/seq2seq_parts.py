"""The parts of a Seq2Seq: the class and the configuration of each.

The options of encoder and decoder are checked here. Nothing is allocated, because the shapes in
a file are compared with its configuration before memory is allocated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pygru.core import validation
from pygru.gru import GRU
from pygru.nn.attention import Attention
from pygru.nn.embedding import Embedding
from pygru.nn.linear import Linear
from pygru.options import DEFAULTS, GRUOptions

Part: TypeAlias = type[GRU] | type[Attention] | type[Embedding] | type[Linear]

# The options of a GRU that the model itself sets; all others can be chosen.
OWN = (
    "input_size",
    "hidden_size",
    "num_layers",
    "batch_first",
    "dropout",
    "bidirectional",
    "reverse",
    "merge",
    "zero_output_for_mask",
    "dtype",
)


def gru_config(gru: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return all options of encoder and decoder that can be chosen, ready for JSON.

    Raises
    ------
    TypeError, ValueError
        If ``gru`` is not a mapping, or an option does not exist, is set by the model itself,
        or has a wrong value.
    """
    given = {} if gru is None else gru
    if not isinstance(given, Mapping):
        raise TypeError(
            f"gru must be a mapping of GRU options to values, got {validation.type_name(given)}"
        )
    for name in given:
        if name in OWN:
            raise ValueError(f"gru must not hold {name!r}, which Seq2Seq sets itself")
        if name not in DEFAULTS:
            known = [option for option in DEFAULTS if option not in OWN]
            raise TypeError(f"gru: {validation.unexpected_key(name, known)}")
    checked = GRUOptions.from_config({"input_size": 1, "hidden_size": 1, **given}).get_config()
    return {name: value for name, value in checked.items() if name not in OWN}


def specifications(config: Mapping[str, Any]) -> dict[str, tuple[Part, dict[str, Any]]]:
    """Return the class and the configuration of each part, in order."""
    E, H, L = config["embedding_dim"], config["hidden_size"], config["num_layers"]
    dtype = {"dtype": config["dtype"]}
    encoder = {
        **config["gru"],
        "input_size": E,
        "hidden_size": H,
        "num_layers": L,
        "batch_first": True,
        "dropout": config["dropout"] if L > 1 else 0.0,
        "bidirectional": True,
        **dtype,
    }
    # The decoder's first state comes from the encoder, so it never learns one of its own.
    decoder = {**encoder, "bidirectional": False, "learn_h0": False}

    def embedding(size: int) -> tuple[Part, dict[str, Any]]:
        return Embedding, {"num_embeddings": size, "embedding_dim": E, **dtype}

    def linear(inputs: int, outputs: int) -> tuple[Part, dict[str, Any]]:
        return Linear, {"in_features": inputs, "out_features": outputs, "bias": True, **dtype}

    attention = {
        "query_size": H,
        "key_size": 2 * H,
        "attention_size": H if config["score"] == "additive" else None,
        "score": config["score"],
        **dtype,
    }
    return {
        "source_embedding": embedding(config["source_vocab_size"]),
        "encoder": (GRU, encoder),
        "bridge": linear(2 * L * H, L * H),
        "target_embedding": embedding(config["target_vocab_size"]),
        "decoder": (GRU, decoder),
        "attention": (Attention, attention),
        "combine": linear(3 * H, H),
        "output": linear(H, config["target_vocab_size"]),
    }


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter that ``config`` makes, named ``"<part>.<name>"``."""
    return {
        f"{part}.{name}": shape
        for part, (cls, part_config) in specifications(config).items()
        for name, shape in cls.parameter_shapes(part_config).items()
    }


def output_shapes(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the shape of the output of each part as text, for S source and T target steps."""
    E, H, L = config["embedding_dim"], config["hidden_size"], config["num_layers"]
    return {
        "source_embedding": f"(B, S, {E})",
        "encoder": f"(B, S, {2 * H})",
        "bridge": f"(B, {L * H})",
        "target_embedding": f"(B, T, {E})",
        "decoder": f"(B, T, {H})",
        "attention": f"(B, T, {2 * H})",
        "combine": f"(B, T, {H})",
        "output": f"(B, T, {config['target_vocab_size']})",
    }
