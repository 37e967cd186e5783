"""The queue of ``examples/service``: it makes batches, and gives each input its own answer."""

import asyncio
import importlib.util
import threading
from pathlib import Path

import pytest
from patience import PATIENCE

PATH = Path(__file__).parent.parent / "examples" / "service" / "batching.py"


def load_batching():
    spec = importlib.util.spec_from_file_location("service_batching", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


batching = load_batching()


class Squares:
    """A function that remembers its batches, and stops in the first one until it may go on."""

    def __init__(self):
        self.batches = []
        self.began = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, inputs):
        self.batches.append(list(inputs))
        self.began.set()
        assert self.may_end.wait(PATIENCE)
        return [x * x for x in inputs]

    async def hold(self, batcher):
        """Return the task of an input that keeps the function busy."""
        task = asyncio.create_task(batcher.answer(1000))
        await asyncio.to_thread(self.began.wait, PATIENCE)
        return task


def finish(coroutine):
    """Return what a coroutine returns."""
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


def ask(function, inputs, **options):
    """Return the answers or exceptions for inputs that arrive together."""

    async def run():
        async with batching.Batcher(function, **options) as batcher:
            answers = [batcher.answer(x) for x in inputs]
            return await asyncio.gather(*answers, return_exceptions=True)

    return finish(run())


async def queued(batcher, inputs):
    """Return the tasks of inputs that wait in the queue."""
    tasks = [asyncio.create_task(batcher.answer(x)) for x in inputs]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("max_batch", [1, 7, 100, 1000])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_input_gets_its_own_answer(max_batch, threads):
    sizes = []

    def squares(inputs):
        sizes.append(len(inputs))
        return [x * x for x in inputs]

    answers = ask(squares, range(100), max_batch=max_batch, threads=threads)
    assert answers == [x * x for x in range(100)]
    assert sum(sizes) == 100
    assert max(sizes) <= max_batch


def test_what_arrives_during_a_call_becomes_one_batch():
    squares = Squares()

    async def run():
        async with batching.Batcher(squares, max_batch=4) as batcher:
            first = await squares.hold(batcher)
            tasks = await queued(batcher, range(6))
            assert batcher.queue_length == 6
            squares.may_end.set()
            assert await asyncio.gather(first, *tasks) == [1000000, 0, 1, 4, 9, 16, 25]
            assert (batcher.batches, batcher.inputs, batcher.queue_length) == (3, 7, 0)

    finish(run())
    assert squares.batches == [[1000], [0, 1, 2, 3], [4, 5]]  # in the order of arrival


def test_a_full_batch_does_not_wait():
    assert ask(lambda x: x, range(8), max_batch=4, max_wait=10 * PATIENCE) == list(range(8))


def test_a_batch_that_becomes_full_waits_no_longer():
    async def run():
        async with batching.Batcher(list, max_batch=3, max_wait=10 * PATIENCE) as batcher:
            tasks = []
            for x in range(3):
                tasks += await queued(batcher, [x])
                await asyncio.sleep(0.01)  # so that the batcher has begun to wait
            assert await asyncio.gather(*tasks) == [0, 1, 2]

    finish(run())


def test_an_input_waits_for_others_only_so_long():
    batches = []

    def same(inputs):
        batches.append(inputs)
        return inputs

    async def run():
        async with batching.Batcher(same, max_batch=3, max_wait=0.05) as batcher:
            begin = asyncio.get_running_loop().time()
            tasks = await queued(batcher, [1])
            await asyncio.sleep(0.001)
            tasks += await queued(batcher, [2])
            await asyncio.gather(*tasks)
            return asyncio.get_running_loop().time() - begin

    assert finish(run()) >= 0.049  # later by any time, on a busy machine
    assert batches[0][0] == 1


def test_a_full_queue_refuses():
    squares = Squares()

    async def run():
        async with batching.Batcher(squares, max_queue=2) as batcher:
            tasks = [await squares.hold(batcher), *await queued(batcher, [1, 2])]
            with pytest.raises(batching.QueueFullError, match="2 requests are waiting already"):
                await batcher.answer(3)
            squares.may_end.set()
            assert await asyncio.gather(*tasks) == [1000000, 1, 4]
            assert await batcher.answer(3) == 9

    finish(run())


def test_an_input_that_fails_spoils_no_other():
    answers = ask(
        lambda inputs: [1 / x for x in inputs], [1, 2, 0, 4], max_wait=PATIENCE, max_batch=4
    )
    assert answers[:2] == [1, 0.5]
    assert isinstance(answers[2], ZeroDivisionError)
    assert answers[3] == 0.25


def test_too_few_answers_are_an_error():
    def forgets(inputs):
        return inputs[:1] if len(inputs) > 1 or inputs == [2] else []

    answers = ask(forgets, [1, 2, 3], max_batch=3, max_wait=PATIENCE)
    assert answers[1] == 2
    for answer in (answers[0], answers[2]):
        assert "1 inputs have got 0 answers" in str(answer)


def test_nothing_is_computed_for_a_client_that_has_gone():
    squares = Squares()

    async def run():
        async with batching.Batcher(squares) as batcher:
            first = await squares.hold(batcher)
            gone, stays = await queued(batcher, [1, 2])
            gone.cancel()
            await asyncio.sleep(0)
            squares.may_end.set()
            assert (await first, await stays) == (1000000, 4)

    finish(run())
    assert squares.batches == [[1000], [2]]


def test_a_client_may_go_during_the_call():
    squares = Squares()

    async def run():
        async with batching.Batcher(squares, max_batch=2) as batcher:
            first = await squares.hold(batcher)
            first.cancel()
            await asyncio.sleep(0)
            squares.may_end.set()
            assert await batcher.answer(3) == 9

    finish(run())


def test_two_threads_run_two_calls_at_once():
    both = threading.Barrier(2, timeout=PATIENCE)

    def together(inputs):
        both.wait()
        return inputs

    assert ask(together, [1, 2], max_batch=1, threads=2) == [1, 2]
