"""``examples/service`` as its users run it: as a process, with good and with bad clients.

``HELD`` is the same service with a model that waits for a file, so that a test decides which
requests are in the queue together.
"""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE

from pygru import GRU, Embedding, Last, Linear, Sequential, save

pytestmark = pytest.mark.slow
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

APP = Path(__file__).parent.parent / "examples" / "service" / "app.py"
PAGE = APP.parents[2] / "docs" / "howto" / "service.md"
HELD = """
import dataclasses, pathlib, sys, time
sys.path.insert(0, {folder!r})
import app
held = app.load("model.safetensors")
first = []

def predict(sequences):
    if first:  # what the service asks by itself at its start does not wait
        pathlib.Path("busy").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.001)
    first.append(1)
    if any(x[0, 0] == 13 for x in sequences):
        raise OSError("the thirteenth fails")
    return held.predict(sequences)

app.load = lambda path: dataclasses.replace(held, predict=predict)
app.main()
"""
RNG = np.random.default_rng(0)
SEQUENCES = [
    RNG.standard_normal((size, 3)).astype(np.float32) for size in RNG.integers(1, 90, 40)
]


def model(**options):
    head = 32 if options.get("bidirectional") else 16
    gru = GRU(3, 16, 2, batch_first=True, **options)
    return Sequential(gru, Last(options.get("bidirectional", False)), Linear(head, 2), seed=0)


def right(x):
    """The answer of the model to a sequence alone, in this process."""
    return model()(x[np.newaxis])[0].tolist()


def body_of(x):
    return json.dumps({"x": x.tolist()})


class Service:
    """A running service."""

    def __init__(self, folder, *options, held=False, served=None):
        save(served or model(), folder / "model.safetensors")
        self.folder = folder
        program = ["-c", HELD.format(folder=str(APP.parent))] if held else [str(APP)]
        command = [sys.executable, *program, "model.safetensors", "--port", "0", *options]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=folder, stderr=log)
        self.port = int(
            self.wait_for(lambda: re.search(r"on http://[\d.]+:(\d+)", self.text()))[1]
        )

    def text(self):
        return self.log.read_text()

    def wait_for(self, condition):
        """Return what a condition is when it becomes true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            assert self.process.poll() is None, self.text()
            time.sleep(0.002)
        raise AssertionError(f"waited in vain; the log:\n{self.text()}")

    def request(self, method, path, body=None, **headers):
        """Return the status, the headers and the body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()

    def get(self, path):
        status, _, body = self.request("GET", path)
        return status, body

    def post(self, body):
        """Return status and JSON of an answer of the model."""
        status, _, answer = self.request("POST", "/predict", body)
        return status, json.loads(answer)

    def metric(self, name):
        found = re.search(rf"^pygru_{re.escape(name)} (\S+)$", self.get("/metrics")[1], re.M)
        return float(found[1]) if found else 0

    def hold(self, pool, sequences):
        """Return the tasks of requests: the first is in the model, the others in the queue."""
        tasks = [pool.submit(self.post, body_of(sequences[0]))]
        self.wait_for((self.folder / "busy").exists)
        tasks += [pool.submit(self.post, body_of(x)) for x in sequences[1:]]
        self.wait_for(lambda: self.metric("queue_length") == len(sequences) - 1)
        return tasks

    def go(self):
        """Let the model that was held answer."""
        (self.folder / "go").touch()

    def end(self):
        """Return the exit status of the process, which ends by itself."""
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def running(*arguments, **options):
    """A service that is killed in the end if it has not ended."""
    service = Service(*arguments, **options)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()
    assert "Traceback" not in service.text() or options.get("held"), service.text()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    limits = ["--max-steps", "100", "--max-bytes", "20000", "--max-seconds", "0.5"]
    limits += ["--threads", "2"]
    with running(tmp_path_factory.mktemp("service"), *limits) as service:
        yield service
        assert service.post(body_of(SEQUENCES[0])) == (200, {"y": right(SEQUENCES[0])})


@pytest.fixture
def held(tmp_path):
    with running(tmp_path, held=True) as service:
        yield service


@pytest.fixture
def pool():
    with ThreadPoolExecutor(200) as pool:
        yield pool


# ---- answers -------------------------------------------------------------------------------


def test_an_answer_has_the_bits_of_the_model(service):
    for x in SEQUENCES[:5]:
        assert service.post(body_of(x)) == (200, {"y": right(x)})


def test_an_answer_does_not_depend_on_who_else_is_in_the_batch(held, pool):
    tasks = held.hold(pool, SEQUENCES)
    held.go()
    for x, task in zip(SEQUENCES, tasks, strict=True):
        assert task.result(PATIENCE) == (200, {"y": right(x)})
    assert held.metric("batched_requests_total") == 40
    assert held.metric("batches_total") == 3  # of 1, 32 and 7
    assert held.metric('requests_total{status="200"}') == 40


def test_200_clients_at_once(service, pool):
    chosen = [SEQUENCES[i % len(SEQUENCES)] for i in range(200)]
    answers = list(pool.map(service.post, map(body_of, chosen)))
    for x, answer in zip(chosen, answers, strict=True):
        assert answer == (200, {"y": right(x)})


def test_a_model_that_predicts_every_step(tmp_path):
    tagger = Sequential(GRU(3, 8, batch_first=True), Linear(8, 2), seed=1)
    with running(tmp_path, served=tagger) as service:
        x = SEQUENCES[3]
        assert service.post(body_of(x)) == (200, {"y": tagger(x[np.newaxis])[0].tolist()})


def test_float64_keeps_every_digit(tmp_path):
    exact = Sequential(GRU(3, 8, batch_first=True, dtype="float64"), Last(), seed=1)
    x = RNG.standard_normal((9, 3))
    with running(tmp_path, served=exact) as service:
        assert service.post(body_of(x)) == (200, {"y": exact(x[np.newaxis])[0].tolist()})


def test_what_the_page_shows(tmp_path):
    text = PAGE.read_text()
    names = {}
    exec(re.search(r"```python\n(.*?)save\(", text, re.S)[1], names)
    shown = re.findall(r"^    curl -d '(.*)' http\S+/predict\n    (.*)$", text, re.M)
    assert len(shown) == 2
    with running(tmp_path, served=names["model"]) as service:
        for body, answer in shown:
            expected, (_, found) = json.loads(answer), service.post(body)
            if "y" in expected:  # the last digit depends on the processor
                np.testing.assert_allclose(found["y"], expected["y"], rtol=1e-5)
            else:
                assert found == expected


# ---- bad requests --------------------------------------------------------------------------

STEP = [1.0, 2.0, 3.0]


def wrong(number):
    """Return a body whose second step has a wrong number."""
    return f'{{"x": [[1, 2, 3], [4, 5, {number}]]}}'


@pytest.mark.parametrize(
    ("body", "status", "where", "message"),
    [
        ("", 400, None, "Invalid JSON"),
        ("hello", 400, None, "Invalid JSON"),
        (b"\xff\xfe", 400, None, "Invalid JSON"),
        ('{"x": [[1, 2, 3]', 400, None, "Invalid JSON"),
        ('{"x": [[1, 2, 3]]} {}', 400, None, "Invalid JSON"),
        ("[" * 10_000, 400, None, "Invalid JSON"),
        ("[]", 422, [], "an object"),
        ("null", 422, [], "an object"),
        ("{}", 422, ["x"], "Field required"),
        ('{"x": [[1, 2, 3]], "speed": 1}', 422, ["speed"], "not permitted"),
        ('{"x": 5}', 422, ["x"], "got 5"),
        ('{"x": []}', 422, ["x"], "at least 1 item"),
        ('{"x": [1, 2, 3]}', 422, ["x", 0], "got 1"),
        ('{"x": [[1, 2]]}', 422, ["x", 0], "at least 3 items after validation, not 2"),
        ('{"x": [[1, 2, 3], [1, 2, 3, 4]]}', 422, ["x", 1], "at most 3 items"),
        ('{"x": [[[1, 2, 3]]]}', 422, ["x", 0, 0], "valid number"),
        (json.dumps({"x": [STEP] * 101}), 422, ["x"], "at most 100 items"),
        (wrong("NaN"), 422, ["x", 1, 2], "finite number, got nan"),
        (wrong("-Infinity"), 422, ["x", 1, 2], "finite number, got -inf"),
        (wrong("1e400"), 422, ["x", 1, 2], "finite number, got inf"),
        (wrong("1e39"), 422, ["x", 1, 2], "less than or equal"),
        (wrong("9" * 400), 422, ["x", 1, 2], "finite"),
        (wrong("null"), 422, ["x", 1, 2], "got None"),
        (wrong("true"), 422, ["x", 1, 2], "got True"),
        (wrong('"6"'), 422, ["x", 1, 2], "got '6'"),
        (wrong('"' + "6" * 5000 + '"'), 422, ["x", 1, 2], "got '666"),
        (wrong("[6]"), 422, ["x", 1, 2], "valid number"),
    ],
)
def test_a_bad_body_is_refused_and_the_field_named(service, body, status, where, message):
    found, answer = service.post(body)
    assert found == status
    if where is not None:
        (detail,) = answer["detail"]
        assert detail["loc"] == ["body", *where]
        answer = {"detail": detail["msg"]}
    assert message in answer["detail"]
    assert len(answer["detail"]) < 200


def test_thousands_of_errors_get_a_short_answer(service):
    status, answer = service.post(json.dumps({"x": [["a"] * 3] * 100}))
    assert status == 422
    assert len(answer["detail"]) == 1


def test_an_answer_that_is_not_finite_is_refused(tmp_path):
    huge = Sequential(Linear(3, 1, seed=0))
    huge.layers[0].parameters["weight"][:] = [[2, 3, -4]]
    with running(tmp_path, served=huge) as service:
        status, answer = service.post('{"x": [[3e38, 3e38, 3e38]]}')
        closed = pytest.importorskip("websockets.exceptions").ConnectionClosed
        with steps(service) as stream:
            stream.send('{"x": [3e38, 3e38, 3e38]}')
            with pytest.raises(closed, match="not finite"):
                stream.recv(PATIENCE)
    assert status == 422
    assert answer["detail"][0]["loc"] == ["body", "x"]
    assert "not finite" in answer["detail"][0]["msg"]


def test_a_body_that_is_too_large(service):
    """It is refused before it is read, if its size is given, and else at the limit."""
    declared = (
        b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 20001\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"1000\r\n" + b" " * 0x1000 + b"\r\n") * 5,
    )
    for head in declared:
        with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as client:
            client.sendall(head)  # and no end
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")
    assert service.post(" " * 20_001)[0] == 413
    assert "at most 20000 bytes" in service.post(" " * 20_001)[1]["detail"]


def test_a_body_that_is_too_slow(service):
    with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{")
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")


def test_clients_that_leave(service):
    text = body_of(SEQUENCES[0]).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(text)
    before = service.metric('requests_total{status="400"}')
    for _ in range(20):
        for sent in (head[:20], head + text[:30], head + text):
            with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as client:
                client.sendall(sent)
    service.wait_for(lambda: service.metric('requests_total{status="400"}') == before + 20)
    assert service.metric("queue_length") == 0


def test_other_paths_and_methods(service):
    assert service.get("/")[0] == 404
    assert service.get("/predict")[0] == 405


def test_health_and_documentation(service):
    assert service.get("/health") == (200, '{"status":"ok"}')
    assert service.get("/ready") == (200, '{"status":"ready"}')
    described = json.loads(service.get("/openapi.json")[1])
    body = described["paths"]["/predict"]["post"]["requestBody"]
    sequence = body["content"]["application/json"]["schema"]["properties"]["x"]
    assert (sequence["maxItems"], sequence["items"]["maxItems"]) == (100, 3)


# ---- a model that fails, and a queue that is full ------------------------------------------


def test_a_request_that_the_model_cannot_answer_spoils_no_other(held, pool):
    thirteen = np.full((2, 3), 13, np.float32)
    tasks = held.hold(pool, [thirteen if i == 7 else x for i, x in enumerate(SEQUENCES)])
    held.go()
    for i, (x, task) in enumerate(zip(SEQUENCES, tasks, strict=True)):
        answer = task.result(PATIENCE)
        if i == 7:
            assert answer == (500, {"detail": "the model failed; the log says why"})
        else:
            assert answer == (200, {"y": right(x)})
    assert "the thirteenth fails" in held.text()


def test_a_full_queue(tmp_path, pool):
    with running(tmp_path, "--max-queue", "2", held=True) as service:
        tasks = service.hold(pool, SEQUENCES[:3])
        status, headers, body = service.request("POST", "/predict", body_of(SEQUENCES[3]))
        assert (status, headers["Retry-After"]) == (503, "1")
        assert json.loads(body) == {"detail": "2 requests are waiting already"}
        service.go()
        for x, task in zip(SEQUENCES[:3], tasks, strict=True):
            assert task.result(PATIENCE) == (200, {"y": right(x)})


# ---- the end -------------------------------------------------------------------------------


def test_a_stop_is_announced_and_accepted_requests_are_answered(tmp_path, pool):
    """The announcement would last longer than any test; a second signal ends it."""
    with running(tmp_path, "--notice", str(2 * PATIENCE), held=True) as service:
        tasks = service.hold(pool, SEQUENCES[:5])
        service.process.send_signal(signal.SIGTERM)
        service.wait_for(lambda: service.get("/ready")[0] == 503)
        assert service.get("/health") == (200, '{"status":"stopping"}')
        status, headers, body = service.request("POST", "/predict", body_of(SEQUENCES[5]))
        assert (status, headers["Retry-After"]) == (503, "1")
        assert headers["Connection"] == "close"
        assert json.loads(body) == {"detail": "the service is stopping"}
        service.process.send_signal(signal.SIGTERM)
        service.wait_for(lambda: "Shutting down" in service.text())
        with pytest.raises(OSError):
            service.get("/health")
        service.go()
        for x, task in zip(SEQUENCES[:5], tasks, strict=True):
            assert task.result(PATIENCE) == (200, {"y": right(x)})
        assert service.end() == 0


def test_a_stop_without_an_announcement(tmp_path):
    with running(tmp_path, "--notice", "0") as service:
        assert service.post(body_of(SEQUENCES[0]))[0] == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.end() == 0


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_loses_no_accepted_request(tmp_path, pool, stop):
    """Clients see right answers, then 503, and then nobody."""
    with running(tmp_path, "--notice", str(2 * PATIENCE)) as service:
        seen = [[] for _ in range(20)]

        def load(statuses):
            while True:
                x = SEQUENCES[len(statuses) % len(SEQUENCES)]
                try:
                    status, answer = service.post(body_of(x))
                except OSError:  # refused, or reset while it waited for the server to accept it
                    return
                assert status == 503 or (status, answer) == (200, {"y": right(x)})
                statuses.append(status)

        tasks = [pool.submit(load, statuses) for statuses in seen]
        service.wait_for(lambda: all(seen))
        service.process.send_signal(stop)
        service.wait_for(lambda: all(statuses[-1] == 503 for statuses in seen))
        service.process.send_signal(stop)
        assert service.end() == 0
        for statuses, task in zip(seen, tasks, strict=True):
            task.result(PATIENCE)
            assert statuses == sorted(statuses)  # nothing is accepted after the first 503


# ---- one step at a time --------------------------------------------------------------------


def steps(service):
    client = pytest.importorskip("websockets.sync.client")
    return client.connect(f"ws://127.0.0.1:{service.port}/stream", open_timeout=PATIENCE)


def test_a_stream_keeps_its_state(service):
    x = SEQUENCES[3]
    streams = [model().stream(), model().stream()]
    with steps(service) as one, steps(service) as other:
        assert service.metric("streams") == 2
        for x_t in x[:10]:
            for socket_of, stream, sign in ((one, streams[0], 1), (other, streams[1], -1)):
                socket_of.send(json.dumps({"x": (sign * x_t).tolist()}))
                assert json.loads(socket_of.recv(PATIENCE)) == {
                    "y": stream(sign * x_t).tolist()
                }
        for bad in ("hello", "{}", '{"x": [1, 2]}', '{"x": [1, 2, NaN]}', b"\xff", b""):
            one.send(bad)
            assert "detail" in json.loads(one.recv(PATIENCE))
        one.send(json.dumps({"x": STEP}).encode())  # the state is as before
        expected = right(np.array([*x[:10], STEP], np.float32))
        assert json.loads(one.recv(PATIENCE)) == {"y": expected}
    service.wait_for(lambda: service.metric("streams") == 0)


@pytest.mark.parametrize(
    ("options", "served", "status", "message"),
    [
        (["--max-streams", "1"], None, 503, "too many streams"),
        ([], model(bidirectional=True), 400, "bidirectional"),
    ],
)
def test_streams_that_are_refused(tmp_path, options, served, status, message):
    refused = pytest.importorskip("websockets.exceptions").InvalidStatus
    with running(tmp_path, *options, served=served) as service, contextlib.ExitStack() as stack:
        if options:
            stack.enter_context(steps(service))
        with pytest.raises(refused) as caught:
            steps(service)
        assert caught.value.response.status_code == status
        assert message in caught.value.response.body.decode()


# ---- what cannot be served -----------------------------------------------------------------


def not_finite():
    spoiled = model()
    spoiled.parameters["2.bias"][0] = np.nan
    return spoiled


@pytest.mark.parametrize(
    ("served", "options", "message"),
    [
        (GRU(3, 4, seed=0), [], "expected a Sequential that reads features, got GRU"),
        (Sequential(Embedding(5, 3), GRU(3, 4, batch_first=True)), [], "reads features"),
        (not_finite(), [], "NaN"),
        (model(), ["--max-batch", "0"], "max_batch must be at least 1, got 0"),
        (model(), ["--max-wait", "nan"], "max_wait must be at least 0, got nan"),
        (model(), ["--max-wait", "soon"], "invalid float value"),
    ],
)
def test_what_cannot_be_served(tmp_path, served, options, message):
    save(served, tmp_path / "model.safetensors")
    command = [sys.executable, str(APP), "model.safetensors", *options]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert result.returncode == 2
    assert message in result.stderr


def test_a_forecaster_is_named(tmp_path):
    pytest.importorskip("pandas")
    from pygru.forecasting import GRUForecaster

    forecaster = GRUForecaster(1, hidden_size=2, epochs=1, progress=False)
    forecaster.fit(np.sin(np.arange(90))).save(tmp_path / "model.safetensors")
    result = subprocess.run(
        [sys.executable, str(APP), "model.safetensors"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert result.returncode == 2
    assert "this is a forecaster, which needs a table" in result.stderr
    assert "Traceback" not in result.stderr
