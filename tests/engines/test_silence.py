"""Silence holds inside the context only, and lets exceptions pass."""

from __future__ import annotations

import logging
import warnings

import pytest

from engines.silence import quiet


def test_prints_warnings_and_logs_are_dropped_and_come_back(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("diffusers")
    before = log.level
    with quiet():
        print("progress")
        warnings.warn("old", UserWarning, stacklevel=1)
        log.warning("slow")
    assert capsys.readouterr().out == ""
    assert not caplog.records
    assert log.level == before
    print("result")
    assert capsys.readouterr().out == "result\n"


def test_an_error_passes_and_restores_the_levels() -> None:
    log = logging.getLogger("torch.onnx")
    before = log.level
    with pytest.raises(ValueError, match="no"), quiet():
        raise ValueError("no")
    assert log.level == before
