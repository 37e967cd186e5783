"""Interrupts at every point where CPython looks for signals. Not a test file.

CPython runs a signal handler when a Python function begins, after a call from Python code, and
when a loop jumps back. ``at_every_point`` runs a function once per such point and raises
KeyboardInterrupt there, as a handler would. The order is fixed, so a failure can be repeated.

Signals that come while a C function runs are handled when it returns, which is such a point
too. C functions that look for signals themselves (pygru's passes over sequences do) have tests
of their own in test_interrupt.py.

Python 3.12 and later report instructions through ``sys.monitoring``. With ``sys.settrace`` they
leave out those of a function that was not traced before.
"""

import contextlib
import dis
import gc
import sys
import threading

# After these instructions the interpreter loop looks for signals.
CHECKED = {
    number
    for name, number in dis.opmap.items()
    if name in ("RESUME", "SEND") or name.startswith(("CALL", "JUMP_BACKWARD"))
}


class _Points:
    """Counts the points that a run passes, and calls the handler at one of them."""

    def __init__(self, stop_at, inside, handler):
        self.stop_at = stop_at
        self.inside = inside
        self.handler = handler
        self.count = 0
        self.where = None
        self._looks = {}  # by code object, because CPython makes co_code anew at each look
        self._handlers = {}  # likewise

    def looks_of(self, code):
        """The places of the instructions after which there is a look; None in other files."""
        if code not in self._looks:
            # An interrupt in this module would leave the process without its own tracer.
            counts = code.co_filename.startswith(self.inside) and code.co_filename != __file__
            places = {at for at, number in enumerate(code.co_code) if number in CHECKED}
            self._looks[code] = places if counts else None
        return self._looks[code]

    def _same_block(self, code, look, now):
        """Whether an exception has the same effect at two places of a function.

        CPython raises it at the instruction that looks, and this module at the next one. If the
        first one is the last of a ``with`` block, as the call in ``return call()``, only the
        exception of CPython ends the block.
        """
        if code not in self._handlers:
            self._handlers[code] = dis.Bytecode(code).exception_entries
        entries = self._handlers[code]
        targets = [[e.target for e in entries if e.start <= at < e.end] for at in (look, now)]
        return targets[0] == targets[1]

    def passed(self, frame, look):
        """Count a point in a frame after an instruction that looks; whether it is the one."""
        # Instructions without a line end a generator that is closed. CPython 3.12 goes there
        # without a look.
        if frame.f_lineno is None or not self._same_block(frame.f_code, look, frame.f_lasti):
            return False
        self.count += 1
        if self.count == self.stop_at:
            self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
        return self.count == self.stop_at


@contextlib.contextmanager
def _traced(points):
    """Follow every new frame, instruction by instruction, with ``sys.settrace``."""

    def call(frame, event, argument):
        looks = points.looks_of(frame.f_code)
        if looks is None:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        look = None

        def instruction(frame, event, argument):
            nonlocal look
            if event == "opcode":
                if look is not None and points.passed(frame, look):
                    sys.settrace(None)
                    frame.f_trace = None
                    points.handler(points.where)
                look = frame.f_lasti if frame.f_lasti in looks else None
            return instruction

        return instruction

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def _monitored(points):
    """Follow every instruction of this thread with ``sys.monitoring``."""
    monitoring = sys.monitoring
    tool, events = monitoring.PROFILER_ID, monitoring.events
    thread = threading.get_ident()
    last_looks = {}  # by frame, which another one may interrupt

    def instruction(code, offset):
        looks = points.looks_of(code)
        if looks is None:
            return monitoring.DISABLE
        if threading.get_ident() != thread:
            return None
        frame = sys._getframe(1)
        look = last_looks.get(id(frame))
        last_looks[id(frame)] = offset if offset in looks else None
        # A new frame may have the number of an older one, but its first look is at its begin.
        if look is not None and offset > min(looks) and points.passed(frame, look):
            monitoring.set_events(tool, 0)
            points.handler(points.where)
        return None

    monitoring.use_tool_id(tool, "interrupts")
    try:
        monitoring.register_callback(tool, events.INSTRUCTION, instruction)
        monitoring.restart_events()
        monitoring.set_events(tool, events.INSTRUCTION)
        yield
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, events.INSTRUCTION, None)
        monitoring.free_tool_id(tool)


def interrupt(where):
    """Do what Python's own handler of Ctrl-C does."""
    raise KeyboardInterrupt(where)


def run_to(function, point, inside="", handler=interrupt):
    """Run ``function`` and call ``handler(where)`` at a point, counted from 1.

    Only Python functions in files whose name begins with ``inside`` count. Returns where the
    interrupt came ("function:line"), or None if the function ended before that.

    The garbage collector is off meanwhile. It calls functions of other packages at any time,
    and CPython only reports what these raise, so an interrupt in one of them would be lost.
    """
    points = _Points(point, inside, handler)
    follow = _monitored if hasattr(sys, "monitoring") else _traced
    collects = gc.isenabled()
    gc.disable()
    try:
        with follow(points):
            function()
    except KeyboardInterrupt:
        if points.where is None:
            raise
    finally:
        if collects:
            gc.enable()
    return points.where


def at_every_point(prepare, check, inside="", step=1, handler=interrupt):
    """Interrupt a function at every point; return how many there were.

    Parameters
    ----------
    prepare : callable
        ``prepare()`` returns a fresh function to run.
    check : callable
        ``check(where)`` is called after each interrupted run; it asserts.
    inside : str
        Only files whose name begins with this count.
    step : int
        Try only every ``step``-th point.
    handler : callable
        ``handler(where)`` is called at the point; by default it raises KeyboardInterrupt.
    """
    point = 1
    while True:
        where = run_to(prepare(), point, inside, handler)
        if where is None:
            return point - 1
        check(where)
        point += step
