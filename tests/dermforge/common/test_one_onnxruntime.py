"""Of the two packages of ONNX Runtime one is installed; where both are, nothing runs on what is left of them."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from dermforge.common import one_onnxruntime
from engines.backends import onnxruntime
from engines.bundle import Bundle
from engines.errors import EngineError

ROOT = Path(__file__).resolve().parents[3]


def having(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(name: str) -> str:
        if (found := versions.get(name.replace("-", "_"))) is None:
            raise PackageNotFoundError(name)
        return found

    monkeypatch.setattr(one_onnxruntime, "version", version)


def test_either_is_fine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for versions in ({}, {"onnxruntime": "1.32.0"}, {"onnxruntime_gpu": "1.31.1"}):
        having(monkeypatch, **versions)
        assert one_onnxruntime.conflict() is None


def test_both_are_refused_before_a_bundle_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    having(monkeypatch, onnxruntime="1.32.0", onnxruntime_gpu="1.31.1")
    bundle = Bundle(tmp_path, None, "")  # type: ignore[arg-type]  # nothing of it is read
    for device in (None, "cuda"):
        with pytest.raises(EngineError, match=r"onnxruntime 1\.32\.0 and onnxruntime-gpu 1\.31\.1 .* pip uninstall -y"):
            onnxruntime.open_calls(bundle, 2, device)


def test_no_extra_installs_the_second_over_the_first() -> None:
    """And the commands ask for what the project itself and its image have."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    plain, extras = declared["project"]["dependencies"], declared["project"]["optional-dependencies"]
    assert not [name for name, needs in extras.items() if any(n.startswith("onnxruntime") for n in needs)]
    assert any(n.startswith("onnxruntime>=") for n in plain)
    (image,) = [n for n in declared["dependency-groups"]["image-gpu"] if n.startswith("onnxruntime")]
    assert one_onnxruntime.FOR_CUDA.endswith(f"'{image}'")
