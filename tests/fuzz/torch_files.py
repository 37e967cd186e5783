"""Files of PyTorch: every form that the reader knows, damaged where it can hurt."""

import gzip
import io
import pickle
import tarfile

import numpy as np
import torch_files as tf
from torch_files import gru_module, parameters, pickled_alone, safetensors, under

from fuzz.fuzzer import Fuzzer
from fuzz.mutations import mutant
from pygru.io.torch import reading


def parts():
    """Files of each form by their bytes: a part to damage, and what makes a file of it."""
    arrays = under("rnn", parameters())

    def make(storages):
        rnn = gru_module(storages, parameters(), batch_first=True)
        state = {"training": True, "_modules": {"rnn": rnn}}
        return {"model": tf.module("m", "M", state), "n": 1.5}

    storages = tf.Storages()
    whole = tf.pickled(make(storages))
    state = tf.state_dict(arrays)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        entry = tarfile.TarInfo("model.pt")
        entry.size = len(state)
        file.addfile(entry, io.BytesIO(state))
    made = [
        (whole, lambda pickle: tf.zip_file(pickle, storages)),
        (state, bytes),
        (tf.saved(make, is_legacy=True), bytes),
        (safetensors(arrays, {"format": "pt"}), bytes),
        (pickle.dumps({"a": np.arange(6.0).reshape(2, 3)}), bytes),
        (packed.getvalue(), bytes),
        (packed.getvalue(), gzip.compress),
        (pickled_alone(arrays), bytes),
    ]
    return {wrap(part): (part, wrap) for part, wrap in made}


OPCODES = [bytes([code]) for code in b"(012NIJKLMSTUVXFGBCabcdeghijlopqrstu}])RPQ."] + [
    bytes([code]) for code in range(0x80, 0x99)
]


class Torch(Fuzzer):
    """Files of PyTorch: pickles, archives, safetensors; no opcode may run anything."""

    name = "torch"
    cases = 3000
    memory = 2**24

    def __init__(self):
        self.parts = list(parts().items())
        for data, _ in self.parts:
            self.run(data)

    def case(self, rng):
        _, (part, wrap) = rng.choice(self.parts)
        damaged = bytearray(mutant(part, rng))
        if damaged and not rng.randrange(3):
            at = rng.randrange(len(damaged))
            damaged[at : at + rng.randrange(2)] = rng.choice(OPCODES)
        return wrap(bytes(damaged))

    def run(self, case):
        reading.arrays(case)
        for gru in reading.contents(case).grus:
            gru.build(variant="pytorch")
        return "read"
