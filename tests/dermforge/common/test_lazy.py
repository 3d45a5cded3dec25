"""A package's names are imported when they are used, once, and an unknown name is an AttributeError."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = """
from dermforge.common.lazy import lazy_names
__all__ = ["one", "other"]
__getattr__, __dir__ = lazy_names(__name__, {"lazy_example.inner": ["one", "other"]})
"""


def test_names_come_from_their_module_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lazy_example").mkdir()
    (tmp_path / "lazy_example" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "lazy_example" / "inner.py").write_text("one, other = [], 2")
    monkeypatch.syspath_prepend(tmp_path)
    package = import_module("lazy_example")
    try:
        assert "lazy_example.inner" not in sys.modules
        assert dir(package) == ["one", "other"]
        assert package.one is package.one
        assert package.other == 2
        with pytest.raises(AttributeError, match="module 'lazy_example' has no attribute 'third'"):
            _ = package.third
    finally:
        for name in ("lazy_example", "lazy_example.inner"):
            sys.modules.pop(name, None)
