"""What a step costs on many ranks: a model of the time, from figures of one and two ranks.

The time of a step is that of computing a rank's share of the batch, plus that of the exchange:
latencies, bytes, and what each rank does itself. Ranks do not wait for a network that others
use, for slower ranks, or for the operating system, so the figures are those of a good day.
"""

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.mpi_measure import FEWER, beside, best, exchange_of, undisturbed

REPORT = 88  # bytes, of each rank in a meeting
SHORT = 512 * 1024  # bytes; above, MPI gathers around a ring and not by doubling
RANKS = (8, 32, 128, 1000)
ADDED = 0.25e-9  # seconds for a number that an Allreduce adds, which reads and writes memory
WANTED = 0.9  # of the time of a step that computes, where training counts as efficient


@dataclass
class Network:
    """A network, as one rank sees it.

    Attributes
    ----------
    latency : float
        Seconds from the call that sends a short message to its arrival.
    overhead : float
        Seconds between two messages that a rank sends without waiting.
    rates : dict
        Bytes per second by the bytes of a message.
    total : float
        Bytes per second of all ranks together.
    most_ranks : int
        How many ranks there can be.
    speed : float
        How many times faster a rank computes than the one core that was measured.
    """

    name: str
    latency: float
    overhead: float
    rates: dict
    total: float = math.inf
    most_ranks: int = 1000
    speed: float = 1.0

    def seconds(self, nbytes, ranks):
        """The time in which each rank sends all but its own part of so many bytes."""
        sizes, rates = zip(*sorted(self.rates.items()), strict=True)
        rate = np.interp(np.log(nbytes / ranks), np.log(sizes), rates)
        return nbytes * (ranks - 1) / ranks / min(rate, self.total / ranks)


# Round figures between two processes, without anybody else on the network. Over a network, a
# rank is a node with threads; in one node, a rank is a core, and the memory is shared by all.
NETWORKS = (
    Network("Ethernet, 10 Gb/s (TCP)", 25e-6, 5e-6, {1: 1.1e9}, speed=10),
    Network("Ethernet, 100 Gb/s (RDMA)", 2.5e-6, 0.5e-6, {1: 11e9}, speed=10),
)
MEMORY = 50e9  # bytes per second that all ranks of a node can send to each other


@dataclass
class Model:
    """A model that is trained, in figures of one rank.

    Attributes
    ----------
    numbers : int
        The parameters, in float32.
    fixed, per_sequence : float
        A step with B sequences takes ``fixed + per_sequence * B`` seconds.
    beside : float
        What a step takes longer as soon as there are other ranks.
    meeting, per_rank, per_number : float
        What an exchange costs within a rank: once, per rank and per parameter.
    """

    units: int
    numbers: int
    fixed: float
    per_sequence: float
    beside: float
    meeting: float
    per_rank: float
    per_number: float

    @property
    def nbytes(self):
        """The bytes of a gradient."""
        return 4 * self.numbers


def exchange(model, ranks, network):
    """Return the seconds of pygru's exchange: meeting, Alltoallv, sum, Allgatherv."""
    rounds = math.ceil(math.log2(ranks))
    sent = network.seconds(model.nbytes, ranks)
    meeting = rounds * network.latency + network.seconds(REPORT * ranks, ranks)
    scattered = network.latency + (ranks - 1) * network.overhead + sent
    local = (
        model.beside + model.meeting + ranks * model.per_rank + model.numbers * model.per_number
    )
    gathered = (rounds if model.nbytes < SHORT else ranks - 1) * network.latency + sent
    return meeting + scattered + local + gathered


def allreduce(model, ranks, network):
    """Return the seconds of an Allreduce: the best of doubling, halving and a ring."""
    rounds = math.ceil(math.log2(ranks))
    sent = 2 * network.seconds(model.nbytes, ranks)
    whole = network.seconds(2 * model.nbytes, 2)
    added = model.numbers * ADDED
    doubling = rounds * (network.latency + whole + added)
    halving = 2 * rounds * network.latency + sent + added
    ring = 2 * (ranks - 1) * network.latency + sent + added
    return min(doubling, halving, ring)


def smallest_batch(model, seconds, speed, share=WANTED):
    """Return the sequences per rank with which computing is a share of a step's time."""
    needed = seconds * share / (1 - share) * speed - model.fixed
    return max(1, math.ceil(needed / model.per_sequence))


def break_even(model, ranks, seconds, speed):
    """Return the whole batch from which on many ranks are faster than one."""
    return max(ranks, math.ceil(seconds * speed / (model.per_sequence * (1 - 1 / ranks))))


def shared_memory(results):
    """The network between the ranks that were measured."""
    wire = results["network"]
    rates = {int(size): rate for size, rate in wire["bytes_per_second"].items()}
    name, latency = "shared memory, as measured", wire["latency"]
    return Network(name, latency, latency / 2, rates, total=MEMORY, most_ranks=128)


def model_of(found, empty):
    """A :class:`Model` from the results of one model, and those of an exchange of nothing."""
    batch = found["batch"]
    whole, fewer = undisturbed(found, "alone"), undisturbed(found, "fewer")
    per_sequence = (whole - fewer) / (batch - batch // FEWER)
    local, nothing = found["within_a_rank"]["8"], empty["8"]
    per_rank = (empty["1000"] - nothing) / (1000 - 8)
    return Model(
        units=found["units"],
        numbers=found["numbers"],
        fixed=max(0.0, whole - batch * per_sequence),
        per_sequence=per_sequence,
        beside=beside(found),
        meeting=nothing - 8 * per_rank,
        per_rank=per_rank,
        per_number=(local - nothing) / found["numbers"],
    )


def show(results):
    """Print the check on the ranks that were measured, and the table for more."""
    here, ranks = shared_memory(results), results["ranks"]
    models = [model_of(found, results["within_a_rank"]) for found in results["models"]]
    print(f"\nthe model against {ranks} ranks; milliseconds")
    print("units  B per rank  exchange   model  Allreduce   model  step (weak)   model")
    for model, found in zip(models, results["models"], strict=True):
        own, other = exchange(model, ranks, here), allreduce(model, ranks, here)
        step = undisturbed(found, "weak")
        modelled = model.fixed + model.per_sequence * found["batch"] + own
        print(
            f"{model.units:>5}{found['batch']:>12}"
            f"{exchange_of(found) * 1e3:10.3f}{own * 1e3:8.3f}"
            f"{best(found['allreduce']['all']) * 1e3:11.3f}{other * 1e3:8.3f}"
            f"{step * 1e3:13.2f}{modelled * 1e3:8.2f}"
        )
    print("\nunits   numbers  a step: fixed ms  ms per sequence  within a rank: us", end="")
    print("  us per rank  ns per number")
    for model in models:
        print(
            f"{model.units:>5}{model.numbers:>10,}{model.fixed * 1e3:18.2f}"
            f"{model.per_sequence * 1e3:17.3f}{(model.beside + model.meeting) * 1e6:19.1f}"
            f"{model.per_rank * 1e6:13.2f}{model.per_number * 1e9:15.2f}"
        )
    for network in (here, *NETWORKS):
        print(
            f"\n{network.name}: {network.latency * 1e6:.1f} us, "
            f"{max(network.rates.values()) / 1e9:.1f} GB/s; a rank computes {network.speed:g} "
            "times as fast as one core here"
        )
        print("units  ranks  exchange ms  Allreduce ms  90 %: B per rank  pays from B in all")
        for model in models:
            for ranks in RANKS:
                if ranks > network.most_ranks:
                    continue
                own = exchange(model, ranks, network)
                print(
                    f"{model.units:>5}{ranks:>7}{own * 1e3:13.2f}"
                    f"{allreduce(model, ranks, network) * 1e3:14.2f}"
                    f"{smallest_batch(model, own, network.speed):18,}"
                    f"{break_even(model, ranks, own, network.speed):20,}"
                )
