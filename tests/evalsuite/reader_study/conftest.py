"""A study for readers, and its server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from reader_helpers import images

from evalsuite.reader_study.blinded_set import SetDesign, make
from evalsuite.reader_study.server import StudyServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(images("r", 16, 0), images("s", 12, 100), tmp_path / "study", SetDesign(64, 2, 1))
    return tmp_path / "study"


@pytest.fixture
def server(folder: Path) -> Iterator[StudyServer]:
    with StudyServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()  # harmless where a test has done so
        thread.join()
