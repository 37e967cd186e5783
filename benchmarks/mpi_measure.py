"""Times of steps of training on one rank and on all of them, and of the exchange alone.

Four ways of training take turns: ``alone`` (the first rank, while the others sleep), ``apart``
(all ranks at once, each for itself), ``weak`` (together, each rank with the batch of ``alone``)
and ``strong`` (together, the batch of ``alone`` divided).

A machine with other work interrupts a rank, and then all ranks wait. So every figure comes
with the number of times that the operating system took the CPU away meanwhile, on all ranks
together. Samples without such an interruption are called quiet. The time of a step that nothing
disturbs is put together: the least CPU time of a rank alone with its share of the batch, the
messages of quiet exchanges, and what a rank does itself because there are others. The last is
measured alone too, with a communicator that sends nothing (``silent``).
"""

import itertools
import resource
import time

import numpy as np
from mpi4py import MPI

import pygru
from benchmarks import report
from pygru.train.ranks import Part, Ranks

STEPS, FEATURES = 100, 32  # of a sequence, and the inputs of each step
BATCH = 32  # sequences per rank
MEASURED = {64: 16, 256: 3, 1024: 1}  # steps of each way in a turn, by units
EXCHANGES = {64: 300, 256: 300, 1024: 250}  # alone, by units
SHORT_MESSAGES = 50  # back and forth in one sample
WAYS = ("alone", "apart", "weak", "strong")
FEWER = 4  # `fewer` is `alone` with so many times fewer sequences
PARTS = ("meeting", "alltoallv", "sum", "allgatherv")
ENOUGH = 5  # quiet samples for a median of them

clock, cpu = time.perf_counter, time.thread_time


def now():
    """Wall time, CPU time, and how often the system has taken the CPU from this thread."""
    return clock(), cpu(), resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


class Timed:
    """A communicator that notes when its calls begin and end.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    meets : bool
        Whether the ranks meet before each call, so that it is timed without waiting.
    """

    def __init__(self, comm, *, meets=False):
        self.comm, self.meets = comm, meets
        self.calls = []

    def Get_rank(self):
        return self.comm.Get_rank()

    def Get_size(self):
        return self.comm.Get_size()

    def _note(self, name, *arguments):
        if self.meets:
            self.comm.Barrier()
        begin = now()
        getattr(self.comm, name)(*arguments)
        self.calls.append((name, begin, now()))

    def Allgather(self, *arguments):
        self._note("Allgather", *arguments)

    def Allgatherv(self, *arguments):
        self._note("Allgatherv", *arguments)

    def Alltoallv(self, *arguments):
        self._note("Alltoallv", *arguments)

    def exchanges(self):
        """The parts of every exchange of gradients, as seconds and interruptions.

        The sum is CPU time. So is ``exchange cpu``, that of the whole: MPI waits by looking
        again and again.
        """
        found = []
        for index, (name, begin, end) in enumerate(self.calls):
            if name != "Alltoallv":
                continue
            _, first, met = self.calls[index - 1]
            _, summed, last = self.calls[index + 1]
            found.append(
                {
                    "meeting": wall(first, met),
                    "alltoallv": wall(begin, end),
                    "sum": (summed[1] - end[1], 0),
                    "allgatherv": wall(summed, last),
                    "exchange": wall(first, last),
                    "exchange cpu": (last[1] - first[1], 0),
                }
            )
        return found


def wall(begin, end):
    """The seconds and the interruptions between two moments."""
    return end[0] - begin[0], end[2] - begin[2]


class Nobody:
    """A communicator with any number of ranks, none of which sends anything.

    It shows what a meeting costs within a rank: the tables, the lists and the sums.
    """

    def __init__(self, size):
        self.size = size

    def Get_rank(self):
        return 0

    def Get_size(self):
        return self.size

    def Allgather(self, sent, received):
        received[:] = sent

    def Allgatherv(self, sent, received):
        if isinstance(sent, bytes):
            received[0][:] = sent * self.size

    def Alltoallv(self, sent, received):
        pass


class Stamps(pygru.Callback):
    """Notes when each step has ended."""

    def __init__(self):
        self.times = []

    def on_batch_end(self, trainer, loss, sequences):
        self.times.append(now())


def meet_asleep(comm):
    """Wait for all ranks without using the CPU; then begin at the same time."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(1e-3)
    comm.Barrier()


def model_of(units):
    return pygru.Sequential(
        pygru.GRU(FEATURES, units, batch_first=True, seed=0),
        pygru.Last(),
        pygru.Linear(units, 1, seed=1),
    )


class Way:
    """One way of training a model of so many units with so many sequences per step."""

    def __init__(self, units, batch, steps, comm=None):
        rng = np.random.default_rng(0)
        self.batch = batch
        count = batch * (steps + 1)  # the first step is not measured
        self.X = rng.standard_normal((count, STEPS, FEATURES), dtype=np.float32)
        self.y = rng.standard_normal((count, 1), dtype=np.float32)
        self.comm = Timed(comm) if isinstance(comm, MPI.Comm) else comm
        self.stamps = Stamps()
        self.trainer = pygru.Trainer(
            model_of(units),
            optimizer=pygru.Adam(1e-6),
            callbacks=[self.stamps],
            seed=0,
            n_threads=1,
            comm=self.comm,
        )

    def run(self):
        """Train for one epoch; return the times of its steps, without the first step."""
        self.stamps.times = []
        exchanges = []
        if isinstance(self.comm, Timed):
            self.comm.calls = []

        self.trainer.fit(self.X, self.y, batch_size=self.batch, progress=False)
        if isinstance(self.comm, Timed):
            exchanges = self.comm.exchanges()[1:]
        exchanges = iter(exchanges)
        steps = []
        for begin, end in itertools.pairwise(self.stamps.times):
            parts = next(exchanges, {})
            waited = parts.pop("exchange cpu", (0.0, 0))[0]
            computed = end[1] - begin[1] - waited
            steps.append({"step": wall(begin, end), "compute": (computed, 0)} | parts)
        return steps


def train(comm, units, options):
    """Return the samples of all steps, by name of the way."""
    batch, steps = BATCH, MEASURED.get(units, 1)
    ways = {
        "alone": Way(units, batch, steps),
        "fewer": Way(units, batch // FEWER, FEWER * steps),
        "apart": Way(units, batch, steps),
        "weak": Way(units, batch * comm.size, steps, comm),
        "strong": Way(units, batch, steps, comm),
        "part": Way(units, batch // comm.size, steps),
        # With one sequence per rank, where what they differ in is largest.
        "single": Way(units, 1, FEWER * steps),
        "silent": Way(units, comm.size, FEWER * steps, Nobody(comm.size)),
    }
    samples = {name: [] for name in ways}
    for turn in range(-1, options.repeats):  # the first turn warms up
        for name, way in ways.items():
            meet_asleep(comm)
            if comm.rank and name not in WAYS[1:]:
                continue
            found = way.run()
            if turn >= 0:
                samples[name] += found
    for name, found in samples.items():
        if name in WAYS[1:]:
            count_on_all_ranks(comm, found)
    return samples


def count_on_all_ranks(comm, samples):
    """Add up the interruptions of all ranks in each figure of each sample."""
    for name in samples[0]:
        counts = comm.allreduce(np.array([sample[name][1] for sample in samples]))
        for sample, count in zip(samples, counts, strict=True):
            sample[name] = sample[name][0], count


def sampled(comm, functions, repeats):
    """Return samples of functions that all ranks call, by name; the functions take turns."""
    samples = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            comm.Barrier()
            begin = now()
            function()
            samples[name].append({"all": wall(begin, now())})
    for found in samples.values():
        count_on_all_ranks(comm, found)
    return samples


def exchange(comm, units, repeats):
    """Return the numbers of a gradient, and samples of its exchange and of an Allreduce."""
    model = model_of(units)
    numbers = sum(len(gradient) for _, gradient in model.flat_pairs)
    buffer = np.zeros(numbers, np.float32)
    timed = Timed(comm, meets=True)
    ranks, part = Ranks(timed), Part(weight=1.0, has_run=True)
    functions = {
        "exchange": lambda: ranks.average(part, 1, model.flat_pairs),
        "allreduce": lambda: comm.Allreduce(MPI.IN_PLACE, buffer),
    }
    samples = sampled(comm, functions, repeats)
    samples["exchange"] = timed.exchanges()
    count_on_all_ranks(comm, samples["exchange"])
    return numbers, samples


def network(comm, repeats=100):
    """Return latency in seconds and bytes per second between the first two ranks.

    The latency is that of a short message back and forth; the rate is that of an Alltoallv, in
    which each rank sends a piece of so many bytes while it receives another.
    """
    short = np.zeros(8, np.uint8)

    def back_and_forth():
        for _ in range(SHORT_MESSAGES):
            if comm.rank == 0:
                comm.Send(short, 1)
                comm.Recv(short, 1)
            elif comm.rank == 1:
                comm.Recv(short, 0)
                comm.Send(short, 0)

    functions = {8: back_and_forth}
    for size in (2**14, 2**16, 2**18, 2**20, 2**22, 2**23):
        counts = [size] * comm.size
        sent, received = (np.zeros((comm.size, size), np.uint8) for _ in range(2))
        arguments = [sent, counts], [received, counts]
        functions[size] = lambda arguments=arguments: comm.Alltoallv(*arguments)
    seconds = {
        size: best(summary(sampled(comm, {size: function}, repeats)[size])["all"])
        for size, function in functions.items()
    }
    latency = seconds.pop(8) / 2 / SHORT_MESSAGES
    rates = {size: size * (comm.size - 1) / time for size, time in seconds.items()}
    return {"latency": latency, "bytes_per_second": rates}


def within_a_rank(numbers, ranks):
    """Return the least CPU seconds of an exchange that sends nothing, by number of ranks."""
    pairs = [(np.zeros(numbers, np.float32), np.ones(numbers, np.float32))]
    part = Part(weight=1.0, has_run=True)
    teams = {"here": ranks, "8": 8, "1000": 1000}
    teams = {name: Ranks(Nobody(size)) for name, size in teams.items()}
    seconds = {name: [] for name in teams}
    for _ in range(30):
        for name, team in teams.items():
            begin = cpu()
            team.average(part, 1, pairs)
            seconds[name].append(cpu() - begin)
    return {name: min(values) for name, values in seconds.items()}


def everything(options):
    """Measure; return the results on the first rank, and None on the others."""
    comm = MPI.COMM_WORLD
    if comm.size < 2:
        raise SystemExit("start this with two ranks or more: mpiexec -n 2 python -m ...")
    wire = network(comm)
    models = []
    for units in options.units:
        numbers, samples = exchange(comm, units, EXCHANGES.get(units, 100))
        ways = train(comm, units, options)
        if comm.rank == 0:
            found = {"units": units, "batch": BATCH, "numbers": numbers}
            found |= {name: summary(each) for name, each in samples.items()}
            found["ways"] = {name: summary(each) for name, each in ways.items()}
            found["within_a_rank"] = within_a_rank(numbers, comm.size)
            models.append(found)
            print(f"measured: {units} units", flush=True)
        meet_asleep(comm)
    if comm.rank:
        return None
    machine = report.machine(1)
    machine["mpi"] = MPI.Get_library_version().splitlines()[0]
    results = {"machine": machine, "ranks": comm.size, "network": wire, "models": models}
    return results | {"within_a_rank": within_a_rank(1, comm.size)}


def summary(samples):
    """Return the spread of each figure over all samples, and over the quiet ones."""
    return {name: spread([sample[name] for sample in samples]) for name in samples[0]}


def spread(values):
    """The least, what a tenth, half and nine tenths lie below, and the median of the quiet."""
    seconds = [value for value, _ in values]
    quiet = [value for value, count in values if count == 0]
    least, low, middle, high = map(float, np.quantile(seconds, [0, 0.1, 0.5, 0.9]))
    return {
        "least": least,
        "low": low,
        "median": middle,
        "high": high,
        "quiet": len(quiet),
        "quiet_median": float(np.median(quiet)) if quiet else None,
    }


def best(found):
    """The median of the quiet samples, or the least of all if there are too few."""
    return found["quiet_median"] if found["quiet"] >= ENOUGH else found["least"]


def messages_of(found):
    """The time of the messages of an exchange in which no rank is interrupted or waits."""
    return sum(best(found["exchange"][name]) for name in PARTS if name != "sum")


def beside(found):
    """What a step takes longer as soon as there are other ranks, beside the exchange."""
    ways = found["ways"]
    more = ways["silent"]["compute"]["least"] - ways["single"]["compute"]["least"]
    return max(0.0, more - found["within_a_rank"]["here"])


def exchange_of(found):
    """All that undisturbed ranks add to the time of a step."""
    return messages_of(found) + found["within_a_rank"]["here"] + beside(found)


def undisturbed(found, way):
    """The time of a step that nothing interrupts."""
    computing = {"weak": "alone", "strong": "part"}.get(way, way)
    seconds = found["ways"][computing]["compute"]["least"]
    return seconds + (exchange_of(found) if computing != way else 0.0)


def show(results):
    """Print the machine and the tables of what was measured."""
    for key, value in results["machine"].items():
        print(f"{key:<12} {value}")
    wire, ranks = results["network"], results["ranks"]
    rates = ", ".join(
        f"{rate / 1e9:.1f} GB/s in {int(size) // 1024} KiB"
        for size, rate in wire["bytes_per_second"].items()
    )
    print(f"{'network':<12} latency {wire['latency'] * 1e6:.2f} us, {rates}")
    print(f"\nmilliseconds of a step on {ranks} ranks, and how that scales")
    print("units,batch way     median (a tenth, nine tenths)   scaling", end="")
    print("    quiet           undisturbed  scaling")
    for found in results["models"]:
        ways = found["ways"]
        for way in WAYS:
            step, alone = ways[way]["step"], ways["alone"]["step"]
            pieces = ranks if way == "strong" else 1
            calm = undisturbed(found, way)
            print(
                f"{found['units']:>5},{found['batch']:<6}{way:<8}{_ms(step)}"
                f"{alone['median'] / step['median'] / pieces:9.1%}{_quiet(step):<18}"
                f"{calm * 1e3:9.2f}{undisturbed(found, 'alone') / calm / pieces:10.1%}"
            )
    print("\nmilliseconds of an exchange, alone: all samples, and the median of the quiet ones")
    print("units       MB  part        median (a tenth, nine tenths)      quiet")
    for found in results["models"]:
        size = f"{found['units']:>5} {found['numbers'] * 4 / 1e6:8.2f}  "
        parts = found["exchange"] | {"Allreduce": found["allreduce"]["all"]}
        for name in (*PARTS, "Allreduce"):
            print(f"{size}{name:<12}{_ms(parts[name])}{_quiet(parts[name])}")
        whole, local = exchange_of(found), found["within_a_rank"]["here"]
        share = whole / undisturbed(found, "weak")
        print(f"{size}{'undisturbed':<12}{whole * 1e3:9.3f}: ", end="")
        print(
            f"messages {messages_of(found) * 1e3:.3f}, load, sum and store {local * 1e3:.3f}, "
            f"other {beside(found) * 1e3:.3f}; {share:.1%} of a step"
        )


def _ms(found):
    low, middle, high = (found[name] * 1e3 for name in ("low", "median", "high"))
    return f"{middle:9.3f} ({low:.3f}, {high:.3f})".ljust(31)


def _quiet(found):
    if not found["quiet"]:
        return f"{'none':>9}"
    return f"{found['quiet_median'] * 1e3:9.3f} of {found['quiet']}"
