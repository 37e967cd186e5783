"""A model of pygru behind HTTP: FastAPI and uvicorn, with requests in batches.

    python app.py model.safetensors --port 8000

``POST /predict`` takes one sequence and returns the model's answer. Requests that arrive
together are computed together, and each gets the same bits as alone. ``WebSocket /stream``
takes one step at a time and keeps the state. ``/health``, ``/ready`` and ``/metrics`` are for
those who run it.
"""

import argparse
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import uvicorn
from batching import Batcher, QueueFullError
from checking import Checker, read_body
from fastapi import FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, PlainTextResponse
from stopping import Server

import pygru

log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Served:
    """What is served: a function from a list of (T, features) arrays to their answers."""

    predict: Callable[[list[np.ndarray]], Any]
    features: int
    dtype: Any
    stream: Callable[[], Callable[[np.ndarray], np.ndarray]] | None = None


@dataclass(frozen=True)
class Settings:
    """Limits, which the command line can change; README.md says how to choose them."""

    max_batch: int = 32
    max_wait: float = 0.0  # milliseconds
    max_queue: int = 1000
    max_steps: int = 10_000
    max_bytes: int = 1_000_000
    max_seconds: float = 10.0
    max_streams: int = 100
    threads: int = 1
    notice: float = 1.0  # seconds

    def __post_init__(self):
        for field in fields(self):
            value, least = getattr(self, field.name), 1 if field.type is int else 0
            if not value >= least:
                raise ValueError(f"{field.name} must be at least {least}, got {value}")


def load(path):
    """Return what is to be served from a model file, which must hold a ``Sequential``."""
    if "forecaster" in pygru.read_metadata(path):
        raise ValueError(
            f"{path}: this is a forecaster, which needs a table; the service needs a Sequential"
        )
    model = pygru.load(path, check_finite=True)
    if not isinstance(model, pygru.Sequential) or model.reads != "features":
        raise ValueError(
            f"{path}: expected a Sequential that reads features, got {type(model).__name__}"
        )
    if model.input_size is None:
        raise ValueError(f"{path}: the first layer does not say how many features it reads")
    (dtype,) = {array.dtype for array in model.parameters.values()}

    def predict(sequences):
        """Run the model; without lengths, where none are needed, it is faster."""
        if len({len(x) for x in sequences}) == 1:
            return model(np.stack(sequences))
        return model(sequences)

    return Served(predict, model.input_size, dtype, model.stream)


def create_app(served, settings=None):
    """Return the application; ``app.state.stopping = True`` makes it refuse new requests."""
    settings = settings or Settings()
    checker = Checker(served.features, settings.max_steps, served.dtype)
    batcher = Batcher(
        served.predict,
        max_batch=settings.max_batch,
        max_wait=settings.max_wait / 1e3,
        max_queue=settings.max_queue,
        threads=settings.threads,
    )
    answered = Counter()  # by status
    seconds = 0.0  # of all requests
    streams = 0

    @asynccontextmanager
    async def lifespan(app):
        # A model that cannot answer fails here, and not at the first request.
        served.predict([np.zeros((1, served.features), served.dtype)])
        async with batcher:
            yield

    app = FastAPI(title="pygru", lifespan=lifespan)
    app.state.stopping = False

    def unavailable(why):
        # A client that kept its connection would find it closed at its next request but one.
        end = {"Connection": "close"} if app.state.stopping else {}
        return HTTPException(503, why, headers={"Retry-After": "1"} | end)

    async def predicted(request):
        if app.state.stopping:
            raise unavailable("the service is stopping")
        body = await read_body(request, settings.max_bytes, settings.max_seconds)
        x = checker.array(checker.sequence, body)
        try:
            y = await batcher.answer(x)
        except QueueFullError as error:
            raise unavailable(str(error)) from None
        except Exception as error:
            log.exception("the model failed")
            raise HTTPException(500, "the model failed; the log says why") from error
        return checker.answer(y)

    schema = {"content": {"application/json": {"schema": checker.sequence.model_json_schema()}}}

    @app.post("/predict", openapi_extra={"requestBody": schema | {"required": True}})
    async def predict(request: Request):
        nonlocal seconds
        begin, status = time.perf_counter(), 200
        try:
            return JSONResponse({"y": await predicted(request)})
        except HTTPException as error:
            status = error.status_code
            raise
        finally:
            answered[status] += 1
            seconds += time.perf_counter() - begin

    @app.websocket("/stream")
    async def stream(socket: WebSocket):
        nonlocal streams
        if app.state.stopping or streams >= settings.max_streams:
            why = "the service is stopping" if app.state.stopping else "too many streams"
            await socket.send_denial_response(JSONResponse({"detail": why}, 503))
            return
        try:
            if served.stream is None:
                raise ValueError("this model cannot run step by step")
            run = served.stream()
        except ValueError as error:  # a bidirectional model, for example
            await socket.send_denial_response(JSONResponse({"detail": str(error)}, 400))
            return
        streams += 1
        try:
            await socket.accept()
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                text = message.get("text") or message.get("bytes")
                try:
                    x_t = checker.array(checker.step, text)
                except HTTPException as error:  # the state is as before
                    await socket.send_json({"detail": error.detail})
                else:
                    await socket.send_json({"y": checker.answer(run(x_t))})
        except WebSocketDisconnect:  # while an answer was sent
            pass
        except HTTPException:  # the state may not be finite any more
            await socket.close(1007, "the answer to these numbers is not finite")
        finally:
            streams -= 1

    @app.get("/health")
    async def health():
        """Whether the process lives."""
        return {"status": "stopping" if app.state.stopping else "ok"}

    @app.get("/ready")
    async def ready():
        """Whether new requests are welcome."""
        if app.state.stopping:
            raise unavailable("the service is stopping")
        return {"status": "ready"}

    @app.get("/metrics")
    async def metrics():
        """Counts in the text format of Prometheus."""
        values = {
            f'requests_total{{status="{status}"}}': number
            for status, number in sorted(answered.items())
        }
        values |= {
            "request_seconds_total": seconds,
            "batches_total": batcher.batches,
            "batched_requests_total": batcher.inputs,
            "queue_length": batcher.queue_length,
            "streams": streams,
        }
        return PlainTextResponse("".join(f"pygru_{k} {v}\n" for k, v in values.items()))

    return app


def serve(app, settings, **options):
    """Serve an application until SIGTERM or Ctrl-C; the options are those of uvicorn."""

    def announce():
        app.state.stopping = True

    config = uvicorn.Config(app, access_log=False, ws_max_size=settings.max_bytes, **options)
    with suppress(KeyboardInterrupt):  # a third Ctrl-C does not wait for the answers
        Server(config, announce, settings.notice).run()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a model file of pygru")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    for name, default in vars(Settings()).items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=type(default), default=default, metavar="N")
    options = vars(parser.parse_args())
    path, host, port = (options.pop(name) for name in ("model", "host", "port"))
    try:
        settings = Settings(**options)
        app = create_app(load(path), settings)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    serve(app, settings, host=host, port=port)


if __name__ == "__main__":
    main()
