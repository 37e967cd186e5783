"""Batcher: it takes inputs one by one, and runs a function on many of them at once.

A request waits in the queue until a thread is free. This thread then takes everything that
waits, up to ``max_batch``. So batches form by themselves while the function is busy, and a
request to an idle service waits for nobody, unless ``max_wait`` says that it shall.

The batcher knows neither HTTP nor the model. All its methods belong to one event loop; only the
function runs in other threads.
"""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


class QueueFullError(Exception):
    """More inputs wait than ``max_queue`` allows."""


@dataclass(slots=True)
class Waiting:
    """An input that waits for its answer."""

    x: Any
    answer: asyncio.Future
    since: float


class Batcher:
    """Answers inputs one by one with a function that takes a list of them.

    Parameters
    ----------
    function : callable
        It takes a list of inputs and returns as many answers. It runs in a thread.
    max_batch : int
        The most inputs in one call of the function.
    max_wait : float
        How many seconds an input may wait for others, if the function is idle.
    max_queue : int
        The most inputs that may wait; beyond, :meth:`answer` raises :class:`QueueFullError`.
    threads : int
        How many calls of the function may run at the same time.
    """

    def __init__(self, function, *, max_batch=32, max_wait=0.0, max_queue=1000, threads=1):
        self._function = function
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._max_queue = max_queue
        self._threads = threads
        self._queue = deque()
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self.batches = 0  # how many calls of the function have ended
        self.inputs = 0  # and how many inputs they had

    @property
    def queue_length(self):
        """How many inputs wait for a call of the function."""
        return len(self._queue)

    async def __aenter__(self):
        self._pool = ThreadPoolExecutor(self._threads, "model")
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._threads)]
        return self

    async def __aexit__(self, *error):
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._pool.shutdown()

    async def answer(self, x):
        """Return the function's answer to one input, or raise what it raises for this input."""
        if len(self._queue) >= self._max_queue:
            raise QueueFullError(f"{self._max_queue} requests are waiting already")
        loop = asyncio.get_running_loop()
        waiting = Waiting(x, loop.create_future(), loop.time())
        self._queue.append(waiting)
        self._arrived.set()
        if len(self._queue) >= self._max_batch:
            self._full.set()
        return await waiting.answer

    async def _collect(self):
        """Return the next batch; it is empty if another worker was faster."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        now = asyncio.get_running_loop().time()
        left = self._queue[0].since + self._max_wait - now
        if left > 0 and len(self._queue) < self._max_batch:
            self._full.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), left)
        size = min(len(self._queue), self._max_batch)
        return [self._queue.popleft() for _ in range(size)]

    async def _work(self):
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._collect()
            # A client that has gone needs no answer.
            batch = [waiting for waiting in batch if not waiting.answer.done()]
            if not batch:
                continue
            inputs = [waiting.x for waiting in batch]
            answers = await loop.run_in_executor(self._pool, self._run, inputs)
            self.batches += 1
            self.inputs += len(batch)
            for waiting, answer in zip(batch, answers, strict=True):
                if waiting.answer.done():
                    continue
                if isinstance(answer, Exception):
                    waiting.answer.set_exception(answer)
                else:
                    waiting.answer.set_result(answer)

    def _run(self, inputs):
        """Return an answer or an exception for each input; no input can spoil the others."""
        try:
            answers = list(self._function(inputs))
            if len(answers) != len(inputs):
                raise RuntimeError(f"{len(inputs)} inputs have got {len(answers)} answers")
        except Exception as error:
            if len(inputs) == 1:
                return [error]
            return [answer for x in inputs for answer in self._run([x])]
        return answers
