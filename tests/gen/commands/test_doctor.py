"""`gen doctor`: every backend is named with what it can do here."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version

import pytest

from dermforge.common import one_onnxruntime
from dermforge.common.extras import PURPOSES
from engines.loader import BACKENDS
from gen.commands import doctor as module
from gen.commands.doctor import doctor


def test_every_backend_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    doctor(json=True)
    found = json.loads(capsys.readouterr().out)
    assert set(found["backends"]) == set(BACKENDS)
    assert "CPU" in found["backends"]["onnxruntime"]
    assert int(found["machine"]["cores"]) >= 1
    assert found["packages"]["torch"][0].isdigit()
    assert set(found["extras"]) == set(PURPOSES)
    assert found["extras"]["lora"].startswith("peft ")
    doctor(json=False)
    assert "onnxruntime" in capsys.readouterr().out


def test_onnxruntime_for_gpus_is_no_missing_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The image has it under another name; its health check would ask to install dermforge again."""

    def of_the_image(name: str) -> str:
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return "1.31.1" if name == "onnxruntime-gpu" else version(name)

    monkeypatch.setattr(module, "version", of_the_image)
    monkeypatch.setattr(one_onnxruntime, "version", of_the_image)
    doctor(json=True)
    packages = json.loads(capsys.readouterr().out)["packages"]
    assert packages["onnxruntime"] == "1.31.1"
    assert packages["torch"] == version("torch")
