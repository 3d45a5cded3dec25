"""One network as an ONNX graph, with any number of batch rows."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from engines.compile.onnx_edits import tidy
from engines.errors import EngineError
from engines.silence import quiet

OPSET = 23


def write_graph(
    module: nn.Module, args: tuple[torch.Tensor, ...], inputs: list[str], outputs: list[str], path: Path
) -> None:
    """Export one module with dynamic batch rows; its weights go into `model.onnx.data` next to the graph.

    The module loses its weights.

    Raises
    ------
    EngineError
        The exporter took the example's number of rows for the only one.
    """
    rows = torch.export.Dim("rows", min=1, max=4096)
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), quiet(), _OneCat():
        program = torch.onnx.export(
            module.eval(),
            args,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=_shapes(module, len(args), {0: rows}),
            verbose=False,
            optimize=True,
        )
    assert program is not None
    program.save(path, external_data=True)
    tidy(path)
    _check_rows(path, type(module).__name__)
    for value in (*module.parameters(), *module.buffers()):  # the exporter's caches keep the module
        value.data = value.data.new_empty(0)


def _check_rows(path: Path, name: str) -> None:
    """Refuse a graph of a fixed number of rows: where a machine's cores share a batch, it may fit by chance."""
    graph = onnx.load(path, load_external_data=False).graph
    fixed = [one.name for one in (*graph.input, *graph.output) if not one.type.tensor_type.shape.dim[0].dim_param]
    if fixed:
        raise EngineError(
            f"torch {torch.__version__} exports the {name} for one number of rows only ({', '.join(fixed)}); expected "
            "any: export it with a newer torch"
        )


class _OneCat(TorchFunctionMode):
    """The exporter brings the inputs of `torch.cat` to one precision, and not those of its other names."""

    def __torch_function__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = torch.cat if func in (torch.concat, torch.concatenate) else func
        return named(*args, **(kwargs or {}))


def _shapes(module: nn.Module, inputs: int, rows: dict[int, Any]) -> tuple[Any, ...]:
    """The dynamic shapes of a module's inputs, those that it takes as `*rest` together."""
    own = inspect.signature(module.forward).parameters.values()
    named = sum(one.kind is not one.VAR_POSITIONAL for one in own)
    rest = inputs - named
    return (*[rows] * named, *([(rows,) * rest] if len(own) > named else []))
