# cython: language_level=3, freethreading_compatible=True
"""Code that a signal must not stop half-way: lists of changes, ends of blocks, meetings.

CPython runs the Python handlers of signals in its interpreter loop: when a Python function
begins, after a call from Python code, and when a loop jumps back. An ``__exit__`` that is a
Python function can therefore end by KeyboardInterrupt before its first line, and what it should
have restored stays as it is. The functions here are compiled, so no handler runs inside them
unless a function that they call looks for signals itself.

The modules ``atomic``, ``threads``, ``nn.undo`` and ``train.ranks`` explain what these
functions are for; they also check the arguments.
"""

cimport cython
from libc.stdint cimport uintptr_t

cdef enum:
    LIBRARIES_AT_MOST = 16
    ATTEMPTS = 100


def apply(tuple actions):
    """Call ``function(*arguments)`` for each (function, *arguments), to the end of the list.

    An exception in between, for example from the handler of a signal, is raised after all
    calls. The call that it ended is repeated. Of several exceptions the first one is raised. A
    call that has failed 100 times is not repeated any more.
    """
    cdef BaseException first = None
    cdef int _attempt
    for action in actions:
        function, arguments = action[0], action[1:]
        for _attempt in range(ATTEMPTS):
            try:
                function(*arguments)
                break
            except BaseException as error:
                if first is None:
                    first = error
    if first is not None:
        raise first


cdef class Undone:
    """A context that applies ``actions``, the last one first, if its block fails.

    ``entered`` is what ``with ... as`` receives. The list may grow within the block.
    """

    cdef list actions
    cdef object entered

    def __init__(self, list actions, entered=None):
        self.actions = actions
        self.entered = entered

    def __enter__(self):
        return self.entered

    def __exit__(self, kind, error, traceback):
        if kind is not None:
            apply(tuple(reversed(self.actions)))


cdef class Afterwards(Undone):
    """The same, also if the block does not fail."""

    def __exit__(self, kind, error, traceback):
        apply(tuple(reversed(self.actions)))


cdef class Setting:
    """A context that stands in a context variable: the innermost one is the last of a tuple.

    The object knows nothing about where it was entered. So threads and tasks may share it, it
    may be entered again inside itself, and blocks may end in another order than usual, as those
    of generators do.
    """

    cdef object variable
    cdef readonly object value

    def __init__(self, variable, value):
        self.variable = variable
        self.value = value

    def __enter__(self):
        self.variable.set((*self.variable.get(), self))

    def __exit__(self, kind, error, traceback):
        cdef tuple entries = self.variable.get()
        cdef Py_ssize_t i
        for i in reversed(range(len(entries))):
            if entries[i] is self:
                self.variable.set(entries[:i] + entries[i + 1:])
                break


ctypedef int (*get_threads)() noexcept
# BLIS takes 64 bits; the other libraries read the lower 32 of them.
ctypedef void (*set_threads)(Py_ssize_t) noexcept


cdef class BlasLimit:
    """A context in which some BLAS libraries are limited to one thread each.

    The settings belong to the whole process. The first call to enter saves them, and the last
    one to leave restores them. So a call in one Python thread does not restore them while a
    call in another one needs them.

    ``functions`` lists the addresses of each library's C functions, ``int get(void)`` and
    ``void set(int)``. They are called with the GIL held, so no other Python thread sees a
    limit that is only partly applied.
    """

    cdef get_threads getters[LIBRARIES_AT_MOST]
    cdef set_threads setters[LIBRARIES_AT_MOST]
    cdef int saved[LIBRARIES_AT_MOST]
    cdef int count
    cdef int users

    def __init__(self, list functions):
        cdef uintptr_t get, set_
        self.count = 0
        self.users = 0
        for get, set_ in functions[:LIBRARIES_AT_MOST]:
            self.getters[self.count] = <get_threads>get
            self.setters[self.count] = <set_threads>set_
            self.count += 1

    def __enter__(self):
        cdef int i
        with cython.critical_section(self):
            if self.users == 0:
                for i in range(self.count):
                    self.saved[i] = self.getters[i]()
                    if self.saved[i] > 1:
                        self.setters[i](1)
            self.users += 1

    def __exit__(self, kind, error, traceback):
        cdef int i
        with cython.critical_section(self):
            if self.users == 1:
                for i in range(self.count):
                    if self.saved[i] > 1:
                        self.setters[i](self.saved[i])
            if self.users > 0:  # it is 0 in a child that was forked inside the block
                self.users -= 1

    def forget(self):
        """Start again in a forked child, where no other thread can be inside a block.

        A limit that the parent had lowered remains lowered. The results are the same.
        """
        self.users = 0


cdef enum:
    # The columns of a table of reports that are looked at here; see pygru/train/ranks.py.
    KIND = 0
    BYTES = 1
    WEIGHT = 2
    LOSS = 3
    # What a rank comes to a meeting for.
    FAILED = 0
    TALK = 1
    STEP = 2  # 3 is to leave, which needs no second part


def meet(comm, report, table, bytes message, arrays):
    """Exchange what all ranks of an MPI communicator have to say; return their messages.

    Every rank calls this with a report, which tells the others what it has come for. If all
    want to talk, or any has failed, their messages are exchanged. If all want to make a step,
    their gradients are averaged with the weights in the reports.

    If Ctrl-C ended this half-way, the rank would be missing in one of the calls of MPI, and the
    others would wait for it for ever. Signals are looked at before or after the whole meeting.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    report : ndarray
        (columns,) float64.
    table : ndarray
        (ranks, columns) float64, which gets the reports of all ranks.
    message : bytes
        Its length is in the report.
    arrays : tuple or None
        For a step: the flat gradient; how many of its numbers each rank adds up; what this rank
        receives of these, (ranks, numbers); three arrays (numbers,), two in double precision
        and one in that of the gradient; and the functions ``multiply`` and ``add`` of NumPy.

    Returns
    -------
    list of bytes or None
        The messages by rank, if they were exchanged.
    """
    cdef list rows, counts, texts
    cdef double weight = 0
    cdef bint talks = True
    cdef bint fails = False
    cdef bint steps = True
    comm.Allgather(report, table)
    rows = table.tolist()
    for row in rows:
        fails = fails or row[KIND] == FAILED
        talks = talks and row[KIND] == TALK
        # A step needs something that counts, and losses of it that are numbers.
        is_number = row[WEIGHT] == 0 or row[LOSS] - row[LOSS] == 0
        steps = steps and row[KIND] == STEP and is_number
        weight += row[WEIGHT]
    if fails or talks:
        counts = [int(row[BYTES]) for row in rows]
        received = bytearray(sum(counts))
        if received:
            comm.Allgatherv(message, [received, counts])
        texts = []
        first = 0
        for count in counts:
            texts.append(bytes(received[first:first + count]))
            first += count
        return texts
    if steps and weight > 0:
        _average(comm, rows, weight, arrays)
    return None


cdef class Together:
    """A block that all ranks of a team leave together, with an exception or without.

    Whatever ends the block, ``team.leave`` is called until it has come to its end. If the
    handler of a signal could stop this, the other ranks would wait for ever. Of blocks inside
    one another only the outermost one does something.
    """

    cdef object team

    def __init__(self, team):
        self.team = team

    def __enter__(self):
        if self.team.depth == 0:
            self.team.table[...] = TALK  # no meeting has ended this block
        self.team.depth += 1

    def __exit__(self, kind, error, traceback):
        cdef BaseException raised = None
        cdef int _attempt
        self.team.depth -= 1
        if self.team.depth:
            return
        for _attempt in range(ATTEMPTS):
            try:
                self.team.leave(error if raised is None else raised)
                break
            except BaseException as second:
                raised = second
        if raised is not None and error is None:
            raise raised


cdef _average(comm, list rows, double weight, tuple arrays):
    """Replace a gradient by the weighted mean over the ranks, summed in their order.

    Each rank adds up one part of the gradient, in double precision, and all get the results.
    So the order of a sum does not depend on the library of MPI, or on where the ranks run.
    """
    cdef double share
    cdef bint is_first = True
    gradient, counts, received, total, scaled, mean, multiply, add = arrays
    comm.Alltoallv([gradient, counts], [received, [len(total)] * len(rows)])
    for row, of_rank in zip(rows, received):
        share = row[WEIGHT] / weight
        if share == 0:
            continue
        multiply(of_rank, share, total if is_first else scaled)
        if not is_first:
            add(total, scaled, total)
        is_first = False
    mean[...] = total
    comm.Allgatherv(mean, [gradient, counts])
