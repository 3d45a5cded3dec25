"""No library reports to its makers: the switches are set before one is imported, and nobody is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from proxy import silent_proxy

from dermforge.common.telemetry import SWITCHES

#: What was in the environment when each library was first imported.
WATCH = """
import json, os, sys
from importlib import import_module
from importlib.abc import MetaPathFinder
seen = {}
class Watch(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("onnxruntime", "ray", "wandb", "mlflow", "huggingface_hub"):
            seen.setdefault(name, {key: os.environ.get(key) for key in SWITCHES})
sys.meta_path.insert(0, Watch())
for module in sys.argv[1:]:
    import_module(module)
print(json.dumps(seen))
"""
#: One session; the report comes some seconds after it.
SESSION = """
import time
import numpy as np
import onnx.helper as h
import {module}
import onnxruntime as ort
inside, out = (h.make_tensor_value_info(name, 1, [2]) for name in "xy")
graph = h.make_graph([h.make_node("Relu", ["x"], ["y"])], "g", [inside], [out])
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9)
ort.InferenceSession(model.SerializeToString()).run(None, {{"x": np.zeros(2, np.float32)}})
time.sleep(25)
"""


def without_switches(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in SWITCHES} | more


@pytest.mark.parametrize("module", ["engines.backends.onnxruntime", "engines.compile.fp8", "dermforge.generation"])
def test_the_switches_are_set_before_a_library_is_imported(module: str) -> None:
    code = f"SWITCHES = {list(SWITCHES)!r}\n{WATCH}"
    for given, expected in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        words = [sys.executable, "-P", "-c", code, module]
        done = subprocess.run(words, env=without_switches(**given), capture_output=True, text=True, check=True)
        seen = json.loads(done.stdout)
        assert "onnxruntime" in seen
        for values in seen.values():
            assert values == SWITCHES | {"ORT_DISABLE_TELEMETRY": expected}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["engines", "gen.cli", "evalsuite.cli", "bench.cli", "dermforge"])
def test_a_session_asks_nobody(module: str, tmp_path: Path) -> None:
    """As seen by a proxy that every library is told to use."""
    with silent_proxy() as (environment, asked):
        words = [sys.executable, "-P", "-c", SESSION.format(module=module)]
        subprocess.run(words, env=environment | {"HOME": str(tmp_path)}, check=True)
    assert asked == []
