"""`gen doctor`: every backend is named with what it can do here."""

from __future__ import annotations

import json

import pytest

from dermforge.common.extras import PURPOSES
from engines.loader import BACKENDS
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
