"""Interrupts at every point where CPython looks for signals. Not a test file.

CPython runs a signal handler when a Python function begins, after a call from Python code, and
when a loop jumps back. ``at_every_point`` runs a function once per such point and raises
KeyboardInterrupt there, as a handler would. The order is fixed, so a failure can be repeated.

Signals that come while a C function runs are handled when it returns, which is such a point
too. C functions that look for signals themselves (pygru's passes over sequences do) have tests
of their own in test_interrupt.py.
"""

import dis
import gc
import sys

# After these instructions the interpreter loop looks for signals.
CHECKED = {
    number
    for name, number in dis.opmap.items()
    if name in ("RESUME", "SEND") or name.startswith(("CALL", "JUMP_BACKWARD"))
}


class _Tracer:
    """Counts the points that a run passes, and raises at one of them."""

    def __init__(self, stop_at, inside, handler):
        self.stop_at = stop_at
        self.inside = inside
        self.handler = handler
        self.count = 0
        self.where = None
        self._looks = {}  # by code object, because CPython makes co_code anew at each look

    def __call__(self, frame, event, argument):
        """The trace function of new frames: follow each, instruction by instruction."""
        code = frame.f_code
        if not code.co_filename.startswith(self.inside):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        looks = self._looks.get(code)
        if looks is None:
            looks = {at for at, number in enumerate(code.co_code) if number in CHECKED}
            self._looks[code] = looks
        after_a_look = False

        def instruction(frame, event, argument):
            nonlocal after_a_look
            if event == "opcode":
                # Instructions without a line end a generator that is closed. CPython 3.12 goes
                # there without a look.
                if after_a_look and frame.f_lineno is not None:
                    self._point(frame)
                after_a_look = frame.f_lasti in looks
            return instruction

        return instruction

    def _point(self, frame):
        self.count += 1
        if self.count == self.stop_at:
            self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
            sys.settrace(None)
            frame.f_trace = None
            self.handler(self.where)


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
    tracer = _Tracer(point, inside, handler)
    before, collects = sys.gettrace(), gc.isenabled()
    gc.disable()
    try:
        sys.settrace(tracer)
        try:
            function()
        finally:
            sys.settrace(before)
    except KeyboardInterrupt:
        if tracer.where is None:
            raise
    finally:
        if collects:
            gc.enable()
    return tracer.where


def at_every_point(prepare, check, inside="", step=1, handler=interrupt):
    """Interrupt a function at every point; return how many there were.

    The function runs twice without an interrupt, first and last.

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
    # Free-threaded Python 3.13 and 3.14 report the instructions of a function only from the
    # second run on in which it is traced. Without this first run no point in it would be seen.
    run_to(prepare(), 0, inside, handler)
    point = 1
    while True:
        where = run_to(prepare(), point, inside, handler)
        if where is None:
            return point - 1
        check(where)
        point += step
