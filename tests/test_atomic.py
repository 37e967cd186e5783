"""Changes that no interrupt can stop half-way.

The interrupt comes at three kinds of moments: between any two actions (from an action that
makes a signal pending), at every point where CPython looks for signals while ``commit`` runs,
and at random, from a timer. These tests fail if a commit runs Python code between two actions,
or if an action itself runs Python code.
"""

import _thread
import dataclasses
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from interrupts import at_every_point
from patience import PATIENCE

from pygru.core.atomic import (
    assignment,
    attributes,
    commit,
    generator_state,
    replacement,
)
from pygru.errors import InternalError

BIT_GENERATORS = (
    np.random.PCG64,
    np.random.PCG64DXSM,
    np.random.MT19937,
    np.random.Philox,
    np.random.SFC64,
)


class Box:
    """Something with attributes."""


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Something whose attributes cannot be assigned."""

    a: int = 0


class State:
    """One of everything that can be changed in one step."""

    def __init__(self):
        self.array = np.zeros((2, 3), np.float32)
        self.large = np.zeros(300_000)
        self.empty = np.zeros((0, 4))
        self.box = Box()
        self.box.a = self.box.b = 0
        self.frozen = Frozen()
        self.generators = [np.random.Generator(kind(0)) for kind in BIT_GENERATORS]
        self.dict = {"x": 0, "y": 0}
        self.list = [0, 0]

    def values(self):
        """The whole state, in a form that can be compared."""
        return (
            self.array.tolist(),
            np.unique(self.large).tolist(),
            vars(self.box).copy(),
            self.frozen.a,
            [repr(each.bit_generator.state) for each in self.generators],
            dict(self.dict),
            list(self.list),
        )

    def actions(self):
        """Actions that change everything."""
        others = [np.random.Generator(type(g.bit_generator)(1)) for g in self.generators]
        return [
            assignment(self.array, np.full((2, 3), 1, np.float32)),
            assignment(self.large, np.ones(300_000)),
            assignment(self.empty, np.ones((0, 4))),
            assignment(self.array[1:, ::2], np.full((1, 2), 2, np.float32)),
            attributes(self.box, a=1, b=2, c=3),
            attributes(self.frozen, a=4),
            *(
                generator_state(mine, other.bit_generator.state)
                for mine, other in zip(self.generators, others, strict=True)
            ),
            *replacement(self.dict, {"y": 1, "z": 2}),
            *replacement(self.list, [1, 2, 3]),
        ]


OLD = State().values()
_changed = State()
commit(_changed.actions())
NEW = _changed.values()


def test_every_action_has_its_effect():
    array, large, box, frozen, generators, mapping, items = NEW
    assert array == [[1, 1, 1], [2, 1, 2]]
    assert large == [1]
    assert box == {"a": 1, "b": 2, "c": 3}
    assert frozen == 4
    assert len({*OLD[4], *generators}) == 2 * len(BIT_GENERATORS)
    assert mapping == {"y": 1, "z": 2}
    assert items == [1, 2, 3]


def test_actions_happen_in_their_order():
    target = []
    commit((target.append, number) for number in range(5))
    assert target == [0, 1, 2, 3, 4]


def test_nothing_to_do():
    commit([])


@pytest.fixture
def ctrl_c_interrupts():
    """The handler of an interactive Python; a shell ignores SIGINT for background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
@pytest.mark.parametrize("position", range(len(State().actions()) + 1))
def test_pending_interrupt_comes_after_the_last_action(position):
    state = State()
    actions = state.actions()
    actions.insert(position, (_thread.interrupt_main,))  # pending, but not handled yet
    with pytest.raises(KeyboardInterrupt):
        commit(actions)
    assert state.values() == NEW


def test_interrupted_action_is_repeated_and_the_exception_comes_last():
    target, attempts = {}, []

    def interruptible(key):
        attempts.append(key)
        if len(attempts) <= 3:
            raise KeyboardInterrupt(len(attempts))
        target[key] = True

    with pytest.raises(KeyboardInterrupt, match=r"^1$"):
        commit([(interruptible, "a"), (target.update, {"b": True})])
    assert target == {"a": True, "b": True}
    assert attempts == ["a"] * 4


def test_action_that_always_fails_is_given_up_after_all_else_is_done():
    target = []
    with pytest.raises(ZeroDivisionError):
        commit([(target.append, 1), (divmod, 1, 0), (target.append, 2)])
    assert target == [1, 2]


def test_no_python_code_runs_between_or_inside_the_actions():
    """What sys.setprofile sees between the first and the last action: calls of C functions."""
    state, events = State(), []
    actions = [(events.append, "first"), *state.actions(), (events.append, "last")]
    sys.setprofile(lambda frame, event, argument: events.append(event))
    try:
        commit(actions)
    finally:
        sys.setprofile(None)
    during = events[events.index("first") + 1 : events.index("last")]
    assert set(during) <= {"c_call", "c_return"}
    assert "call" in events  # of commit itself: the profile function works


def test_interrupt_at_every_point_leaves_old_or_new():
    seen = set()

    def prepare():
        nonlocal state
        state = State()
        return lambda: commit(state.actions())

    def check(where):
        values = state.values()
        assert values in (OLD, NEW), where
        seen.add(values == NEW)

    state = None
    assert at_every_point(prepare, check) > 30
    assert seen == {False, True}


STORM = """
import signal, sys, time
sys.path.insert(0, {tests!r})
import numpy as np
from pygru.core.atomic import assignment, attributes, commit, replacement

class Stop(Exception):
    pass

def handler(number, frame):
    raise Stop

class Box:
    pass

a, b, box, mapping = np.zeros(50_000), np.zeros(7), Box(), {{}}
box.value = mapping["value"] = 0
wanted, interrupts, mixtures, changes = {wanted}, 0, 0, 0
signal.signal(signal.SIGALRM, handler)
value = 0
while interrupts < wanted:
    value += 1
    before = box.value
    try:
        signal.setitimer(signal.ITIMER_REAL, 20e-6 + (value % 100) * 3e-6)
        for _ in range(1000):
            commit([
                assignment(a, np.full(50_000, value, float)),
                attributes(box, value=value),
                assignment(b, np.full(7, value, float)),
                *replacement(mapping, {{"value": value}}),
            ])
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        interrupts += 1
    found = {{*a[[0, -1]], *np.unique(b), box.value, mapping.get("value")}}
    mixtures += len(found) != 1 or a.min() != a.max()
    changes += box.value != before
print(interrupts, mixtures, changes > 0)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that signals")
def test_storm_of_signals_leaves_no_mixture(tmp_path):
    """Interrupts from a timer, in a process of its own."""
    code = STORM.format(tests=os.path.dirname(__file__), wanted=1000)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1000", "0", "True"]


# ---- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "value"),
    [
        (np.zeros(3), np.zeros(4)),
        (np.zeros(3), np.zeros((1, 3))),
        (np.zeros(3), np.zeros(3, np.float32)),
        (np.zeros(3), np.zeros(3, ">f8")),
        (np.zeros(3), [0, 0, 0]),
        (np.zeros(3, object), np.zeros(3, object)),
        (np.zeros(3).view(np.recarray), np.zeros(3)),
    ],
)
def test_assignment_that_needs_more_than_a_copy_is_refused(array, value):
    with pytest.raises(InternalError):
        assignment(array, value)


def test_assignment_of_overlapping_or_to_read_only_memory_is_refused():
    array = np.zeros(6)
    with pytest.raises(InternalError, match="share memory"):
        assignment(array[1:], array[:-1])
    array.flags.writeable = False
    with pytest.raises(InternalError, match="read-only"):
        assignment(array, np.ones(6))


class WithProperty(Box):
    """A class with a property, which a write to ``__dict__`` would not call."""

    @property
    def a(self):
        """Nothing."""

    @a.setter
    def a(self, value):
        """Do nothing."""


@pytest.mark.parametrize("obj", [WithProperty(), 3, (1,)])
def test_attributes_that_cannot_be_set_in_the_dict_are_refused(obj):
    with pytest.raises(InternalError):
        attributes(obj, a=1)


def test_generator_state_that_does_not_fit_is_refused():
    generator = np.random.default_rng(0)
    before = generator.bit_generator.state
    with pytest.raises(ValueError, match="PCG64"):
        generator_state(generator, np.random.MT19937(0).state)
    with pytest.raises(TypeError):
        generator_state(generator, 3)
    assert generator.bit_generator.state == before


def test_replacement_of_other_containers_is_refused():
    with pytest.raises(InternalError, match="of a set by a list"):
        replacement(set(), [])


@pytest.mark.parametrize("kind", BIT_GENERATORS)
def test_generator_goes_on_as_the_one_whose_state_it_got(kind):
    source, target = np.random.Generator(kind(3)), np.random.Generator(kind(4))
    source.random(
        5, np.float32
    )  # an odd number of half words, so one is left for the next draw
    commit([generator_state(target, source.bit_generator.state)])
    np.testing.assert_array_equal(source.random(9, np.float32), target.random(9, np.float32))
    np.testing.assert_array_equal(source.standard_normal(9), target.standard_normal(9))
