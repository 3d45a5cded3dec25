"""FP8 for the UNet: products in E4M3 with one scale per tensor, calibrated on the pipeline's own denoising.

We quantise the constant weights of matrix products, and the activations that are multiplied with them if they derive
from the noisy latents. Scales are powers of two: of a weight's largest value, and of the largest value of an activation
that the calibration saw. Everything else stays fp16: embeddings of time and text (small, with outliers), attention,
norms, and convolutions, which in the test pipeline cost ten times the error of all linear layers together.

TensorRT fuses each pair of QuantizeLinear and DequantizeLinear with its product into one product in E4M3 (Micikevicius
et al. 2022, arXiv 2209.05433). ONNX Runtime runs the pairs on a CPU, so the rounding is certified without a GPU.
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

from engines.backends.tensorrt import GpuTarget
from engines.bundle import Bundle
from engines.draw import draw
from engines.errors import EngineError
from engines.loader import open_bundle
from engines.manifest import graphs

E4M3 = ml_dtypes.float8_e4m3fn
LARGEST = torch.finfo(torch.float8_e4m3fn).max  # 448
SMALLEST_SM = 89  # Ada, before Hopper and Blackwell
TILE = 16  # tensor cores take eight-bit numbers in sixteens
STEPS, PROMPTS = 20, 8  # of the calibration


def check_target(backend: str, target: GpuTarget | None) -> None:
    """Refuse a target without tensor cores for E4M3.

    Raises
    ------
    EngineError
        The backend is not TensorRT, or the architecture is older.
    """
    if target is None:
        raise EngineError(
            f"fp8 is for the tensorrt backends on sm_{SMALLEST_SM} and later, not for {backend}: "
            f"use the backend tensorrt-rtx and the target sm_{SMALLEST_SM}, or precision fp16"
        )
    if int(target.sm.removeprefix("sm_")) < SMALLEST_SM:
        raise EngineError(f"{target.sm} has no fp8 products, sm_{SMALLEST_SM} and later have: use precision fp16")


def lower_unet(bundle: Bundle, prompts: Sequence[str]) -> None:
    """Calibrate and quantise the UNet of a bundle that is being written; `unet/model.onnx` stays fp16."""
    spec = bundle.manifest.spec
    graph = bundle.folder / graphs(spec)[spec.denoiser]
    quantise(graph, calibrate(bundle, graph, prompts))


def products(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The matrix products to quantise: of constant weights in whole tiles and what derives from `sample`."""
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
    """The largest magnitude of each activation that will be quantised, by its name in the graph.

    Parameters
    ----------
    bundle
        Its text encoder, tokenizer and scheduler are used, by ONNX Runtime on the CPU.
    graph
        The UNet in fp16, `unet/rows.onnx`.
    prompts
        The first eight are drawn from noise with guidance; every batch row of all 20 steps counts.
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
    watched = graph.with_name("calibration.onnx")  # in the folder of the weights that it names
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
    engine.calls = replace(engine.calls, denoise=unet)
    draw(engine, few, STEPS)
    return dict(zip(names, largest.tolist(), strict=True))


def quantise(graph: Path, ranges: dict[str, float]) -> None:
    """Quantise both factors of a graph's products to E4M3, in place.

    The quantised weights go into a file of the graph's own; the file that other graphs share does not change.

    Parameters
    ----------
    ranges
        What `calibrate` returned. Larger values at run time are clipped.
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
    """The smallest power of two, normal in fp16, with 448 * scale >= the largest value.

    Powers of two recur, and TensorRT-RTX 1.7 writes a kernel of 130 kB into the engine file for each distinct scale.
    They cost no accuracy, because E4M3 numbers are floating-point.
    """
    scale = np.exp2(np.ceil(np.log2(max(largest / LARGEST, float(np.finfo(np.float16).tiny)))))
    return np.asarray(scale if scale * LARGEST >= largest else 2 * scale, dtype=np.float16)


def rounded(values: NDArray[np.float32], scale: NDArray[np.float16]) -> NDArray[np.generic]:
    """Values divided by their scale, in E4M3; larger ones are clipped."""
    return np.clip(values / scale.astype(np.float32), -LARGEST, LARGEST).astype(E4M3)


def _outside(name: str, values: NDArray[np.generic], file: str, data: bytearray) -> TensorProto:
    """A tensor in an external file, whose bytes are appended to `data`."""
    tensor = helper.make_tensor(name, TensorProto.FLOAT8E4M3FN, values.shape, values.tobytes(), raw=True)
    set_external_data(tensor, file, len(data), values.nbytes)
    tensor.ClearField("raw_data")
    data += values.tobytes()
    return tensor
