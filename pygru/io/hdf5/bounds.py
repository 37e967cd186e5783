"""What every step of the HDF5 reader goes through: bounds of the file, and limits of work.

A file of unknown origin may point beyond its end, or from one place back to another, and may
claim any size. So bytes are taken from it only through a :class:`Cursor`, which checks each
number against the file, and everything that is read is counted by a :class:`Limits`, whose
total is a small multiple of the size of the file. No loop of the reader can run longer.
"""

from __future__ import annotations

from pygru.errors import FormatError

#: The structures of a file may be read this many times over, on average.
MOST_READINGS = 4
#: What each structure counts in addition to its bytes, because it takes time even if empty.
LEAST_COST = 32
ALLOWANCE = 2**18  # for structures, bytes
#: Elements that were compressed, or never written, may take this many times the bytes of the
#: file, as zeros do.
MOST_RATIO = 100
EXPANDED_ALLOWANCE = 2**24  # bytes


class Limits:
    """How much may still be read of a file: of its structures, and of its elements.

    Parameters
    ----------
    size : int
        Bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self._structures = MOST_READINGS * size + ALLOWANCE
        self._plain = MOST_READINGS * size
        self._expanded = MOST_RATIO * size + EXPANDED_ALLOWANCE

    def structure(self, size: int = 0) -> None:
        """Count a structure of ``size`` bytes, or raise FormatError if there were too many."""
        self._structures -= size + LEAST_COST
        if self._structures < 0:
            raise FormatError(
                "damaged HDF5 file: its structures lead to the same places again and again"
            )

    def plain(self, size: int) -> None:
        """Count ``size`` bytes of elements that stand in the file as they are."""
        self._plain -= size
        if self._plain < 0:
            raise FormatError("damaged HDF5 file: its arrays overlap one another")

    def expanded(self, size: int) -> None:
        """Count ``size`` bytes of elements that need not take as many in the file.

        Call it before they are allocated.
        """
        self._expanded -= size
        if self._expanded < 0:
            raise FormatError(
                f"the HDF5 file states arrays of more than {MOST_RATIO} times its own size; "
                "this is refused"
            )


class Cursor:
    """A place in bytes, from which numbers are read one after the other.

    Parameters
    ----------
    data : bytes or memoryview
        The bytes; nothing outside them is read.
    at : int
        The place to begin at.
    """

    def __init__(self, data: bytes | memoryview, at: int = 0) -> None:
        if not 0 <= at <= len(data):
            raise FormatError(f"damaged HDF5 file: it points to byte {at} of {len(data)}")
        self.data = data
        self.at = at

    @property
    def left(self) -> int:
        """The bytes after this place."""
        return len(self.data) - self.at

    def skip(self, size: int) -> int:
        """Go on by ``size`` bytes, and return where they begin."""
        begin = self.at
        if not 0 <= size <= len(self.data) - begin:
            raise FormatError(
                f"damaged HDF5 file: it is to have {size} bytes at {begin}, and has {self.left}"
            )
        self.at = begin + size
        return begin

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        begin = self.skip(size)
        return bytes(self.data[begin : self.at])

    def number(self, size: int) -> int:
        """Return the next unsigned integer, of ``size`` bytes."""
        begin = self.skip(size)
        return int.from_bytes(self.data[begin : self.at], "little")

    def expect(self, signature: bytes, what: str) -> None:
        """Go on over ``signature``, or raise FormatError if it is not there."""
        begin = self.at
        if self.take(len(signature)) != signature:
            raise FormatError(f"damaged HDF5 file: there is no {what} at byte {begin}")

    def text(self) -> bytes:
        """Return the bytes up to the next zero byte, and go on behind it."""
        end = bytes(self.data).find(0, self.at)
        if end < 0:
            raise FormatError(f"damaged HDF5 file: the name at byte {self.at} has no end")
        name = self.take(end - self.at)
        self.skip(1)
        return name
