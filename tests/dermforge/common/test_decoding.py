"""What a decoder raises is the file's fault, but for what the system or the user is told already."""

from __future__ import annotations

import errno
import os
import zlib

import pytest

from dermforge.common.decoding import decoding
from dermforge.common.errors import CheckFailed, MemoryShort, UserError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("bad\nmore of it"), "bad"),
        (KeyError("sheet"), "'sheet'"),
        (StopIteration(), "StopIteration"),
        (NotImplementedError("method 99"), "method 99"),
        (zlib.error("invalid block"), "invalid block"),
        (MemoryError(), "it asks for more memory than there is, so it is damaged, or too large for this machine"),
        (RecursionError("maximum recursion depth exceeded"), "maximum recursion depth exceeded"),
        (OSError("truncated"), "truncated"),
        (OSError(errno.EINVAL, "negative place"), "[Errno 22] negative place"),
    ],
)
def test_whatever_a_decoder_raises_is_said_of_the_file(error: Exception, said: str) -> None:
    with pytest.raises(UserError) as caught, decoding("cannot read x", "write it again"):
        raise error
    assert str(caught.value) == f"cannot read x: {said}; write it again"
    assert caught.value.__cause__ is error
    with pytest.raises(UserError) as caught, decoding("cannot read x"):
        raise error
    assert str(caught.value) == f"cannot read x: {said}"


@pytest.mark.parametrize(("error", "short"), [(MemoryError(), True), (ValueError("x"), False)])
def test_a_lack_of_memory_is_told_apart_from_damage(error: Exception, short: bool) -> None:
    with pytest.raises(UserError) as caught, decoding("cannot read x"):
        raise error
    assert isinstance(caught.value, MemoryShort) == short


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, os.strerror(number)) for number in (errno.EMFILE, errno.EACCES, errno.EIO, errno.ENOSPC)),
        ModuleNotFoundError("No module named 'simplejpeg'"),
        UserError("line 3: said better"),
        CheckFailed("another digest"),
        KeyboardInterrupt(),
    ],
)
def test_what_is_not_the_files_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, decoding("cannot read x"):
        raise error
    assert caught.value is error
