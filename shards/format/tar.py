"""USTAR archives with constant metadata, so that equal content gives equal bytes."""

from __future__ import annotations

BLOCK = 512
#: Two zero blocks end an archive; tar pads it to whole records.
RECORD = 20 * BLOCK

_MODE_UID_GID = b"0000644\0" + b"0000000\0" * 2
_MTIME = b"0" * 11 + b"\0"
_TAIL = b"0" + bytes(100) + b"ustar\0" + b"00" + bytes(64) + b"0000000\0" * 2 + bytes(155 + 12)
#: The checksum counts its own field as spaces.
_CONSTANT_SUM = sum(_MODE_UID_GID) + sum(_MTIME) + sum(_TAIL) + 8 * ord(" ")


def header(name: str, size: int) -> bytes:
    """The 512 bytes before a file: mode 0644; owner, group and time 0 (POSIX.1-1988 ustar)."""
    raw = name.encode("ascii")
    if not 0 < len(raw) <= 100 or not 0 <= size < 8**11:
        raise ValueError(f"{name!r} of {size} bytes does not fit USTAR")
    length = b"%011o\0" % size
    checksum = b"%06o\0 " % (_CONSTANT_SUM + sum(raw) + sum(length))
    return b"".join((raw.ljust(100, b"\0"), _MODE_UID_GID, length, _MTIME, checksum, _TAIL))


def padding(size: int) -> bytes:
    """Zeros from the end of a file to the next block."""
    return bytes(-size % BLOCK)


def trailer(size: int) -> bytes:
    """The end of an archive whose members take `size` bytes."""
    return bytes(2 * BLOCK + -(size + 2 * BLOCK) % RECORD)


def parse(block: bytes) -> tuple[str, int] | None:
    """Name and size of a header that this module wrote; None for any other block."""
    name, _, _ = block[:100].partition(b"\0")
    try:
        found = name.decode("ascii"), int(block[124:135], 8)
        return found if header(*found) == block else None
    except ValueError:
        return None
