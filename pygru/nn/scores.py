"""Scores of attention: how well queries fit keys. Two stages, each with its gradient.

``project(keys)`` computes what the scores need from the keys; a decoder that runs step by step
does this once. ``scores(queries, projected)`` returns the scores (B, Tq, Tk) and what their
gradient needs. Queries are (B, Tq, Q), keys (B, Tk, K) or rows of them. Parameters and
gradients are mappings by name, and gradients are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from pygru.typing import Floats

#: Parameters, or gradients to add to, by name.
Named: TypeAlias = Mapping[str, Floats]
Shapes: TypeAlias = dict[str, tuple[int, ...]]


class Dot:
    """``q . k``."""

    @staticmethod
    def shapes(query_size: int, key_size: int, attention_size: int) -> Shapes:
        if query_size != key_size:
            raise ValueError(
                f"query_size must equal key_size={key_size} for score='dot', got {query_size}"
            )
        return {}

    @staticmethod
    def project(parameters: Named, keys: Floats) -> Floats:
        return keys

    @staticmethod
    def project_backward(
        parameters: Named, grads: Named, keys: Floats, d_projected: Floats
    ) -> Floats:
        return d_projected

    @staticmethod
    def scores(parameters: Named, queries: Floats, projected: Floats) -> tuple[Floats, Any]:
        return queries @ projected.swapaxes(1, 2), None

    @staticmethod
    def scores_backward(
        parameters: Named,
        grads: Named,
        queries: Floats,
        projected: Floats,
        kept: Any,
        d_scores: Floats,
    ) -> tuple[Floats, Floats]:
        return d_scores @ projected, d_scores.swapaxes(1, 2) @ queries


class General(Dot):
    """``q^T W k``: the dot product with the keys mapped by W (Q, K)."""

    @staticmethod
    def shapes(query_size: int, key_size: int, attention_size: int) -> Shapes:
        return {"weight": (query_size, key_size)}

    @staticmethod
    def project(parameters: Named, keys: Floats) -> Floats:
        return keys @ parameters["weight"].T

    @staticmethod
    def project_backward(
        parameters: Named, grads: Named, keys: Floats, d_projected: Floats
    ) -> Floats:
        return _linear_backward(parameters, grads, "weight", keys, d_projected)


class Additive:
    """``v . tanh(W q + U k)`` with W (A, Q), U (A, K) and v (1, A)."""

    @staticmethod
    def shapes(query_size: int, key_size: int, attention_size: int) -> Shapes:
        return {
            "weight_query": (attention_size, query_size),
            "weight_key": (attention_size, key_size),
            "weight_score": (1, attention_size),
        }

    @staticmethod
    def project(parameters: Named, keys: Floats) -> Floats:
        return keys @ parameters["weight_key"].T

    @staticmethod
    def project_backward(
        parameters: Named, grads: Named, keys: Floats, d_projected: Floats
    ) -> Floats:
        return _linear_backward(parameters, grads, "weight_key", keys, d_projected)

    @staticmethod
    def scores(parameters: Named, queries: Floats, projected: Floats) -> tuple[Floats, Any]:
        of_queries = queries @ parameters["weight_query"].T
        hidden = of_queries[:, :, np.newaxis] + projected[:, np.newaxis]
        np.tanh(hidden, out=hidden)  # (B, Tq, Tk, A)
        return hidden @ parameters["weight_score"][0], hidden

    @staticmethod
    def scores_backward(
        parameters: Named,
        grads: Named,
        queries: Floats,
        projected: Floats,
        hidden: Any,
        d_scores: Floats,
    ) -> tuple[Floats, Floats]:
        v = parameters["weight_score"][0]
        grads["weight_score"][0] += d_scores.reshape(-1) @ hidden.reshape(-1, len(v))
        # d_hidden = d_scores v (1 - tanh^2), in place
        d_hidden = hidden * hidden
        np.subtract(1, d_hidden, out=d_hidden)
        d_hidden *= v
        d_hidden *= d_scores[..., np.newaxis]
        d_of_queries = d_hidden.sum(axis=2)
        d_queries = _linear_backward(parameters, grads, "weight_query", queries, d_of_queries)
        return d_queries, d_hidden.sum(axis=1)


Score: TypeAlias = type[Dot] | type[Additive]
SCORES: dict[str, Score] = {"dot": Dot, "general": General, "additive": Additive}


def _linear_backward(
    parameters: Named, grads: Named, name: str, x: Floats, d_y: Floats
) -> Floats:
    """Return d_x of ``y = x W^T`` and add to the gradient of W."""
    weight = parameters[name]
    grads[name][...] += d_y.reshape(-1, len(weight)).T @ x.reshape(-1, x.shape[-1])
    return d_y @ weight
