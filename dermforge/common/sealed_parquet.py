"""Parquet with a sha256 of the whole file inside it: no changed byte goes unseen, and any reader of parquet reads it.

The digest stands in the metadata of the footer, and was computed with zeros in its place. The footer has the metadata
twice (as keys, and in the stored Arrow schema), so that a file whose key was damaged still says that it had one.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from dermforge.common.decoding import decoding
from dermforge.common.errors import UserError
from dermforge.common.regular_file import open_regular

_KEY = b"dermforge.sha256"
_ZEROS = b"0" * 64
_MARK = _KEY + b"\x18\x40"  # Thrift's compact protocol: the key, then a string of 64 bytes


def sealed(frame: pd.DataFrame) -> bytes:
    """A table as parquet, without its index, with its digest."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: _ZEROS})
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    content = bytearray(out.getvalue())
    at = content.rindex(_MARK + _ZEROS) + len(_MARK)
    content[at : at + 64] = hashlib.sha256(content).hexdigest().encode()
    return bytes(content)


def check_seal(path: Path) -> None:
    """Compare a parquet file with its digest, before anything in it is decoded; one without a digest passes.

    Raises
    ------
    UserError
        The file is not as it was written.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.rfind(_MARK)
            if at < 0 and not _says_it_has_one(path):
                return
            found = hashlib.sha256()
            with memoryview(content) as view:
                for part in (view[: at + len(_MARK)], _ZEROS, view[at + len(_MARK) + 64 :]):
                    found.update(part)
                    del part  # a view keeps the file open
            same = at >= 0 and content[at + len(_MARK) : at + len(_MARK) + 64] == found.hexdigest().encode()
    if not same:
        raise UserError(f"{path} was changed or damaged after it was written (its sha256 differs); write it again")


def _says_it_has_one(path: Path) -> bool:
    try:
        with decoding(f"cannot read the table {path}"):
            return _KEY in (pyarrow.parquet.read_schema(path).metadata or {})
    except UserError:  # whoever reads it says what is wrong
        return False
