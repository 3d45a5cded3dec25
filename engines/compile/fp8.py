"""FP8 for the UNet: E4M3 products between tensor-wide scales, calibrated on the pipeline's own denoising.

Rounded to eight bits are the constant weights of matrix products and what they are multiplied with, where that comes
of the noisy latents. Weights are scaled by their largest value, activations by the largest one that a calibration saw,
both by powers of two.
The rest stays fp16: embeddings of time and text (small, with outliers), attention, norms, and convolutions, which on
the test pipeline cost ten times the error of all linear layers together.

TensorRT joins each pair of QuantizeLinear and DequantizeLinear with the product into one in E4M3 (Micikevicius et al.
2022, arXiv 2209.05433). ONNX Runtime's CPU runs the pairs as they stand, so the rounding is certified without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from engines.backends.tensorrt import GRAPHS, Target
from engines.bundle import Bundle
from engines.certificate import draw
from engines.errors import EngineError
from engines.loader import open_bundle

E4M3 = ml_dtypes.float8_e4m3fn
LARGEST = float(ml_dtypes.finfo(E4M3).max)  # 448
SMALLEST_SM = 89  # Ada; Hopper and Blackwell follow
TILE = 16  # tensor cores take eight-bit numbers by sixteens
STEPS, PROMPTS = 20, 8  # of a calibration


def check_target(backend: str, target: Target | None) -> None:
    """Refuse what has no tensor cores for E4M3, before any work.

    Raises
    ------
    EngineError
        Another backend than TensorRT's, or an older architecture.
    """
    if target is None:
        raise EngineError(
            f"fp8 is for the tensorrt backends on sm_{SMALLEST_SM} and later, not for {backend}: "
            f"add --backend tensorrt-rtx --target sm_{SMALLEST_SM}, or use fp16"
        )
    if int(target.sm.removeprefix("sm_")) < SMALLEST_SM:
        raise EngineError(f"{target.sm} has no fp8 products, sm_{SMALLEST_SM} and later have: use --precision fp16")


def lower_unet(bundle: Bundle, prompts: Sequence[str]) -> None:
    """Calibrate and round the UNet of a bundle that is being written; `unet/model.onnx` stays fp16."""
    graph = bundle.folder / GRAPHS["unet"]
    quantise(graph, calibrate(bundle, graph, prompts))


def products(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The matrix products to round: constant weights in whole tiles, times what comes of `sample`."""
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    moving = {"sample"}
    for node in graph.node:
        if node.op_type == "Shape" or not moving.intersection(node.input):
            continue
        moving.update(node.output)
        if node.op_type == "MatMul" and node.input[0] in moving:
            dims = weights.get(node.input[1], ())
            if len(dims) == 2 and not any(d % TILE for d in dims):
                yield node


def calibrate(bundle: Bundle, graph: Path, prompts: Sequence[str]) -> dict[str, float]:
    """The largest magnitude of each activation that will be rounded, by its name in the graph.

    Parameters
    ----------
    bundle
        Whose text encoder, tokenizer and scheduler are used; run by ONNX Runtime on the CPU.
    graph
        The UNet in fp16, `unet/rows.onnx`.
    prompts
        The first eight are drawn from noise, with guidance; all rows of all 20 steps are seen.
    """
    model = onnx.load(graph, load_external_data=False)
    names = list(dict.fromkeys(node.input[0] for node in products(model.graph)))
    for name in names:
        model.graph.node.extend(
            [
                helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT),
                helper.make_node("Abs", [f"{name}_float"], [f"{name}_size"]),
                helper.make_node("ReduceMax", [f"{name}_size"], [f"{name}_largest"], keepdims=0),
            ]
        )
        model.graph.output.append(helper.make_tensor_value_info(f"{name}_largest", TensorProto.FLOAT, []))
    watched = graph.with_name("calibration.onnx")  # beside the weights that it names
    onnx.save(model, watched)
    session = ort.InferenceSession(str(watched), providers=["CPUExecutionProvider"])
    watched.unlink()
    inputs = [i.name for i in session.get_inputs()]
    largest = np.zeros(len(names), dtype=np.float32)

    def unet(*arrays: torch.Tensor) -> torch.Tensor:
        out, *seen = session.run(None, {name: a.numpy() for name, a in zip(inputs, arrays, strict=True)})
        np.maximum(largest, seen, out=largest)
        return torch.from_numpy(out)

    few = list(prompts[:PROMPTS])
    engine = open_bundle(bundle, "onnxruntime", rows=2 * len(few))
    engine.calls = replace(engine.calls, unet=unet)
    draw(engine, few, STEPS)
    return dict(zip(names, largest.tolist(), strict=True))


def quantise(graph: Path, ranges: dict[str, float]) -> None:
    """Round both sides of a graph's products to E4M3, in place.

    The rounded weights go into a file of the graph's own, a byte each; the file that others share stays as it is.

    Parameters
    ----------
    ranges
        Of `calibrate`. What is larger at run time is cut to it.
    """
    model = onnx.load(graph, load_external_data=False)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    chosen = {node.output[0] for node in products(model.graph)}
    zero = numpy_helper.from_array(np.zeros((), E4M3), "float8_zero")
    tensors, nodes, data = [zero], [], bytearray()
    done: set[str] = set()
    for node in model.graph.node:
        if node.output[0] in chosen:
            x, w = node.input
            if x not in done:
                tensors.append(numpy_helper.from_array(scale_for(ranges[x]), f"{x}_scale"))
                nodes += [
                    helper.make_node("QuantizeLinear", [x, f"{x}_scale", zero.name], [f"{x}_float8"]),
                    helper.make_node("DequantizeLinear", [f"{x}_float8", f"{x}_scale"], [f"{x}_rounded"]),
                ]
            if w not in done:
                weight = numpy_helper.to_array(stored[w], str(graph.parent)).astype(np.float32)
                scale = scale_for(float(np.abs(weight).max()))
                tensors += [
                    numpy_helper.from_array(scale, f"{w}_scale"),
                    _outside(f"{w}_float8", rounded(weight, scale), f"{graph.name}.data", data),
                ]
                nodes.append(helper.make_node("DequantizeLinear", [f"{w}_float8", f"{w}_scale"], [f"{w}_rounded"]))
            done |= {x, w}
            node.input[:] = [f"{x}_rounded", f"{w}_rounded"]
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    new = helper.make_graph(
        nodes,
        model.graph.name,
        model.graph.input,
        model.graph.output,
        [t for t in (*stored.values(), *tensors) if t.name in used],
    )
    model.graph.CopyFrom(new)
    graph.with_name(f"{graph.name}.data").write_bytes(data)
    onnx.save(model, graph)


def scale_for(largest: float) -> NDArray[np.float16]:
    """One step of E4M3: the smallest power of two of which 448 reach `largest`, and one of fp16's normal numbers.

    Powers of two, so that scales recur: TensorRT-RTX 1.7 writes kernels as source, 130 kB each, into the plan, and one
    more for each other scale. E4M3 numbers are floating-point, so the largest value need not lie at their end.
    """
    scale = np.exp2(np.ceil(np.log2(max(largest / LARGEST, float(np.finfo(np.float16).tiny)))))
    return np.asarray(scale if scale * LARGEST >= largest else 2 * scale, dtype=np.float16)


def rounded(values: NDArray[np.float32], scale: NDArray[np.float16]) -> NDArray[np.generic]:
    """Values over their scale in E4M3, cut at its ends."""
    return np.clip(values / scale.astype(np.float32), -LARGEST, LARGEST).astype(E4M3)


def _outside(name: str, values: NDArray[np.generic], file: str, data: bytearray) -> TensorProto:
    """A tensor whose bytes are added to a file's."""
    tensor = helper.make_tensor(name, TensorProto.FLOAT8E4M3FN, values.shape, values.tobytes(), raw=True)
    set_external_data(tensor, file, len(data), values.nbytes)
    tensor.ClearField("raw_data")
    data += values.tobytes()
    return tensor
