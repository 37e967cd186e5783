"""Requests per second of a model behind HTTP: pygru, PyTorch and ONNX Runtime in one app.

    python -m benchmarks.service                 requests per second, latency, CPU time
    python -m benchmarks.service --minutes 10    memory under load

The application is ``examples/service``, and ``wrk`` (Debian's package) asks it, from another
process on another core. The servers of all libraries run side by side and take turns: each
is asked for a few seconds, several times over. Every request has one sequence, of another
length. CPU time per request is that of the server's process, which other work on the machine
changes less than the requests per second. "changed" counts the answers, of 64, that are not
the same alone and among others.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import report
from benchmarks import service_models as models

BODIES = 64
CLIENTS = 32
#: Connections of wrk, and the options of the server.
LOADS = {
    "1 client": (1, ["--max-batch", "32"]),
    "32 clients, no batches": (CLIENTS, ["--max-batch", "1"]),
    "32 clients, batches": (CLIENTS, ["--max-batch", "32"]),
    "32 clients, batches, 2 ms": (CLIENTS, ["--max-batch", "32", "--max-wait", "2"]),
}
SCRIPT = """
local requests, next = {}, 0
init = function(arguments)
  local headers = {["Content-Type"] = "application/json"}
  for body in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", "/predict", headers, body)
  end
end
request = function()
  next = next % #requests + 1
  return requests[next]
end
done = function(summary, latency)
  local e = summary.errors
  print(string.format("RESULT %d %.6f %.6f %.6f %d", summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def cores():
    """Return a core for the server and one for the client."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def sequences_of(cell):
    """Return sequences of different lengths."""
    features, _, _, longest = cell
    generator = np.random.default_rng(0)
    lengths = generator.integers(longest // 4, longest + 1, BODIES)
    return [generator.standard_normal((length, features)).round(4) for length in lengths]


class Service:
    """A server in a process of its own, on a core of its own."""

    def __init__(self, name, number, options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = ["-m", "benchmarks.service", "--serve", name, "--cell", str(number)]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--port", str(self.port), *options],
            preexec_fn=lambda: os.sched_setaffinity(0, {cores()[0]}),
        )

    def wait(self):
        """Wait until the server is ready."""
        while True:
            if self.process.poll() is not None:
                raise RuntimeError("the server has ended")
            with contextlib.suppress(OSError):
                http.client.HTTPConnection("127.0.0.1", self.port).request("GET", "/ready")
                return
            time.sleep(0.1)

    def answer(self, body):
        """Return the answer to one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", "/predict", body)
        answer = connection.getresponse().read()
        connection.close()
        return json.loads(answer)["y"]

    def cpu_seconds(self):
        """Return the CPU time of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self):
        """Return the resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    def wrk(self, folder, clients, seconds):
        """Start wrk."""
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "10s"]
        command += ["-s", f"{folder}/script.lua", f"http://127.0.0.1:{self.port}"]
        return subprocess.Popen(
            [*command, "--", f"{folder}/bodies"],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {cores()[1]}),
        )

    def load(self, folder, clients, seconds):
        """Return requests per second, p50 and p99 in ms, and CPU microseconds per request."""
        before = self.cpu_seconds()
        printed = self.wrk(folder, clients, seconds).communicate()[0]
        used = self.cpu_seconds() - before
        found = re.search(r"RESULT (\d+) (\S+) (\S+) (\S+) (\d+)", printed)
        requests, duration, p50, p99, errors = map(float, found.groups())
        if errors:
            raise RuntimeError(f"wrk counted {errors:.0f} errors")
        return requests / duration, p50, p99, 1e6 * used / requests

    def stop(self):
        """Stop the server as its users would."""
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def running(services):
    """Wait for servers, and stop them in the end."""
    try:
        for service in services:
            service.wait()
        yield
    finally:
        for service in services:
            service.stop()


def prepare(folder, cell):
    """Write what wrk needs, and return the bodies."""
    bodies = [json.dumps({"x": x.tolist()}) for x in sequences_of(cell)]
    Path(folder, "script.lua").write_text(SCRIPT)
    Path(folder, "bodies").write_text("\n".join(bodies))
    return bodies


def changed_answers(service, bodies):
    """Return how many answers differ between a request alone and one among many."""
    alone = [service.answer(body) for body in bodies]
    with ThreadPoolExecutor(CLIENTS) as pool:
        together = [list(pool.map(service.answer, bodies)) for _ in range(5)]
    return sum(any(a[i] != alone[i] for a in together) for i in range(len(bodies)))


def compare(number, cell, options, folder):
    """Print the figures of one cell, and return them; all loads and libraries take turns."""
    bodies = prepare(folder, cell)
    cases = [(load, name) for load in LOADS for name in options.names]
    services = {}
    for load, name in cases:
        key = name, *LOADS[load][1]
        services[key] = services.get(key) or Service(name, number, LOADS[load][1])
    samples = {case: [] for case in cases}
    with running(services.values()):
        for service in services.values():
            service.load(folder, CLIENTS, 1)  # warm
        for _ in range(options.rounds):
            for load, name in cases:
                clients, arguments = LOADS[load]
                found = services[name, *arguments].load(folder, clients, options.seconds)
                samples[load, name].append(found)
        changed = {key: changed_answers(service, bodies) for key, service in services.items()}
    print("\nfeatures {}, units {}, layers {}, up to {} steps".format(*cell))
    rows = []
    for load, name in cases:
        if name == options.names[0]:
            columns = "requests/s  pygru/it  p50 ms  p99 ms  CPU us  CPU it/pygru  changed"
            print(f"{load:<27} {columns}")
        found, of_pygru = samples[load, name], samples[load, "pygru"]
        rate, p50, p99, cpu = (median(column) for column in zip(*found, strict=True))
        pairs = list(zip(found, of_pygru, strict=True))
        ratio = median(pygru[0] / other[0] for other, pygru in pairs)
        of_cpu = median(other[3] / pygru[3] for other, pygru in pairs)
        differ = changed[name, *LOADS[load][1]]
        print(
            f"  {name:<25} {rate:10.0f}{ratio:10.2f}{p50:8.2f}{p99:8.2f}{cpu:8.0f}"
            f"{of_cpu:14.2f}{differ:9d}",
            flush=True,
        )
        rows.append({"cell": cell, "load": load, "name": name, "samples": found})
        rows[-1]["changed"] = differ
    return rows


def memory(options, folder):
    """Print the resident memory of a server of pygru under load, every few seconds."""
    number = 1
    prepare(folder, models.CELLS[number])
    service = Service("pygru", number, [])
    rows = []
    with running([service]):
        begin = time.monotonic()
        load = service.wrk(folder, CLIENTS, round(60 * options.minutes))
        while load.poll() is None:
            rows.append((time.monotonic() - begin, service.megabytes()))
            time.sleep(5)
    printed = load.communicate()[0]
    print(f"{int(re.search('RESULT (.+?) ', printed)[1])} requests")
    seconds, megabytes = np.array(rows).T
    settled = seconds > min(60, seconds[-1] / 2)
    slope = np.polyfit(seconds[settled] / 60, megabytes[settled], 1)[0]
    first, last = megabytes[settled][[0, -1]]
    print(
        f"MB after a minute {first:.2f}, at the end {last:.2f}, slope {slope:.4f} MB per minute"
    )
    return rows


def serve(options, arguments):
    """Run one server, in this process."""
    settings = models.app.Settings(notice=0, **vars(arguments))
    served = models.served(options.serve, models.CELLS[options.cell])
    app = models.app.create_app(served, settings)
    models.app.serve(app, settings, port=options.port, log_level="warning")


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each run of wrk")
    parser.add_argument("--minutes", type=float, help="measure memory under load, instead")
    parser.add_argument("--names", nargs="+", choices=models.NAMES, default=models.NAMES)
    parser.add_argument("--cells", nargs="+", type=int, default=range(len(models.CELLS)))
    parser.add_argument("--json", type=Path, help="write the samples to this file")
    for name in ("--serve", "--cell", "--port"):  # for the servers that this program starts
        kind = str if name == "--serve" else int
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.serve:
        of_server = argparse.ArgumentParser()
        of_server.add_argument("--max-batch", type=int, default=32)
        of_server.add_argument("--max-wait", type=float, default=0)
        serve(options, of_server.parse_args(rest))
        return
    if "pygru" not in options.names:
        parser.error("--names must include pygru, with which the others are compared")
    if rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    machine = report.machine(1)
    for key, value in machine.items():
        print(f"{key:<12} {value}")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        if options.minutes:
            results = memory(options, folder)
        else:
            for number in options.cells:
                results += compare(number, models.CELLS[number], options, folder)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1))


if __name__ == "__main__":
    main()
