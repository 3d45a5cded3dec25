"""A bundle opens with the backends that it has; other options are named."""

from __future__ import annotations

import pytest

from engines import Bundle, load
from engines.errors import EngineError


def test_wrong_options_are_named(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="unknown backend 'openvino'"):
        load(bundle.folder, backend="openvino")
    with pytest.raises(EngineError, match="rows must be 1 or more"):
        load(bundle.folder, rows=0)
    with pytest.raises(EngineError, match="has no torch weights"):
        load(bundle.folder, backend="torch")
    with pytest.raises(EngineError, match="has no tensorrt-rtx engine files"):
        load(bundle.folder, backend="tensorrt-rtx")
