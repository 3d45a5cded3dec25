"""Options that cannot be are refused before any file is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_helpers import call

from engines import build
from engines.backends.tensorrt import this_gpu
from engines.errors import EngineError

REFUSED = [
    ({"backend": "openvino"}, "unknown backend 'openvino'"),
    ({"precision": "fp4"}, "unknown precision 'fp4'"),
    ({"rows": 0}, "rows must be 1 or more"),
    ({"target": "sm_89"}, "is for the tensorrt backends"),
    ({"precision": "fp8"}, "fp8 is for the tensorrt backends"),
    ({"refit_from": "other"}, "refitting is for the tensorrt backends"),
    ({"compile_mode": "autotune"}, "compil"),
    ({"base": "teacher", "precision": "fp8"}, "with a base is built for onnxruntime or torch"),
    (
        {"base": "teacher", "backend": "tensorrt-rtx", "target": "sm_89"},
        "with a base is built for onnxruntime or torch",
    ),
]


@pytest.mark.parametrize(("options", "named"), REFUSED)
def test_a_model_is_not_looked_for(tmp_path: Path, options: dict[str, object], named: str) -> None:
    with pytest.raises(EngineError, match=named):
        build(tmp_path / "no-such-model", tmp_path / "out", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(this_gpu() is not None, reason="for machines without a GPU")
def test_refitting_without_a_gpu_is_refused_at_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    with pytest.raises(EngineError, match="on a GPU only"):
        build(tmp_path / "no-such-model", tmp_path / "out", backend="tensorrt-rtx", target="sm_89", refit=True)


def test_the_command_refuses_before_it_opens_a_model_or_fuses_an_adapter(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("gen build-engine --model no-such-model --lora no-such-adapter --precision fp8") == 2
    assert "fp8 is for the tensorrt backends" in " ".join(capsys.readouterr().err.split())
