"""Writes the Keras files in tests/data with Keras itself, and what Keras computes with them.

    KERAS_BACKEND=jax python tests/make_keras_files.py

Run it once with Keras 3, and once with Keras 2.15 and TensorFlow. Each run writes the files of
its version: whole models, weights alone, and inputs and outputs. The files are tiny, and
compressed, because HDF5 spends kilobytes on empty space.
"""

import argparse
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

DATA = Path(__file__).parent / "data"
MAJOR = int(keras.__version__.split(".")[0])


def steps(features):
    """Return the input of a model: sequences of any length."""
    return layers.Input((None, features)) if MAJOR >= 3 else keras.Input((None, features))


def masked():
    """A model with a mask, both kinds of reset, two directions and layers around them."""
    return keras.Sequential(
        [
            steps(3),
            layers.Masking(-1.0),
            layers.BatchNormalization(),
            layers.Bidirectional(layers.GRU(2, return_sequences=True), merge_mode="sum"),
            layers.GRU(3, reset_after=False, recurrent_activation="hard_sigmoid"),
            layers.Dense(2, activation="softmax"),
        ]
    )


def nested():
    """A functional model with a model inside, two GRUs beside it, and names of its own."""
    inside = keras.Sequential(
        [steps(2), layers.GRU(2, return_sequences=True, name="deep")], name="inside"
    )
    x = steps(3)
    y = layers.GRU(2, use_bias=False, return_sequences=True, name="first")(x)
    y = layers.GRU(2, return_sequences=True, name="again")(inside(y))
    y = layers.LayerNormalization(name="norm")(y)
    y = layers.TimeDistributed(layers.Dense(2, activation="relu"), name="each")(y)
    return keras.Model(x, layers.GlobalAveragePooling1D()(y))


def compress(path, name, target):
    """Put a file into a compressed archive, or compress an archive."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as source:
                for member in source.namelist():
                    archive.writestr(member, source.read(member))
        else:
            archive.writestr(name, path.read_bytes())


def main():
    """Write the files."""
    rng = np.random.default_rng(0)
    expected = {}
    for build in (masked, nested):
        name = build.__name__
        model = build()
        x = rng.standard_normal((2, 5, 3)).astype(np.float32)
        x[0, 1:3] = x[1, 4] = -1
        model(x)
        weights = [
            rng.uniform(0.5, 1.5, weight.shape)
            if "var" in variable.name or "gamma" in variable.name
            else rng.standard_normal(weight.shape) / 2
            for variable, weight in zip(model.weights, model.get_weights(), strict=True)
        ]
        model.set_weights(weights)
        expected[f"{name}_x"] = x
        expected[f"{name}_y"] = model.predict(x, verbose=0)
        with tempfile.TemporaryDirectory() as folder:
            for ending in (".keras", ".h5", ".weights.h5" if MAJOR >= 3 else "_weights.h5"):
                path = Path(folder, f"{name}{ending}")
                model.save_weights(path) if "weights" in ending else model.save(path)
                stem = f"keras{MAJOR}_{path.name}"
                target = DATA / (stem if ending == ".keras" else f"{stem}.zip")
                compress(path, path.name, target)
    np.savez_compressed(DATA / f"keras{MAJOR}.npz", **expected)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # it takes none
    main()
