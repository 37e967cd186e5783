"""Initial weights of a GRU, drawn from its own generator."""

import math

import numpy as np


def torch_uniform(gru):
    """Fill weights and biases uniformly in +-1/sqrt(H), as PyTorch does; h0 with zeros."""
    bound = 1 / math.sqrt(gru.hidden_size)
    gru.flat_parameters[...] = gru.generator.uniform(-bound, bound, gru.flat_parameters.size)
    if gru.learn_h0:
        gru.parameters["h0"] = np.zeros(gru.parameters["h0"].shape)


def keras_glorot_orthogonal(gru):
    """Fill input weights glorot-uniform, recurrent ones orthogonal, biases zero, as Keras does.

    The bound of the input weights is sqrt(6 / (I + 3H)) (Glorot and Bengio 2010); the columns
    of the recurrent matrix are orthonormal (Saxe et al. 2014).
    """
    for name, view in gru.parameters.items():
        if name.startswith("weight_ih"):
            bound = math.sqrt(6 / sum(view.shape))
            view[...] = gru.generator.uniform(-bound, bound, view.shape)
        elif name.startswith("weight_hh"):
            q, r = np.linalg.qr(gru.generator.standard_normal(view.shape))
            view[...] = q * np.sign(np.diagonal(r))
        else:
            view[...] = 0


INITIALIZERS = {"torch": torch_uniform, "keras": keras_glorot_orthogonal}
