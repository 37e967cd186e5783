"""``pygru info``, ``bench`` and ``--version``: what this installation is, and how fast."""

import argparse
import json


def version(options: argparse.Namespace) -> None:
    """Print the version of pygru."""
    import pygru

    print(pygru.__version__)


def info(options: argparse.Namespace) -> None:
    """Run ``pygru info``."""
    from pygru import show_config

    if options.json:
        print(json.dumps(show_config(mode="dicts"), indent=1))
    else:
        show_config()


def bench(options: argparse.Namespace) -> None:
    """Run ``pygru bench``."""
    from pygru import bench
    from pygru.core.config import config

    values = config()
    print(
        f"pygru {values['pygru']}, engine {values['engine']}, kernels {values['kernels']}, "
        f"{values['compiler']}, BLAS core {values['blas']['core']}"
    )
    print("batch,steps,size  kind       microseconds   GFLOP/s")
    for cell, kind, seconds, rate in bench.rows(
        options.variant, options.dtype, options.threads
    ):
        shape = ",".join(map(str, cell))
        print(f"{shape:<16}  {kind:<9}  {seconds * 1e6:12.1f}  {rate / 1e9:8.1f}", flush=True)
