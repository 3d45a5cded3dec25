"""Small edits of an exported graph: other inputs and outputs on the same weight file, and no exporter's notes."""

from __future__ import annotations

from pathlib import Path

import onnx

from engines.pipeline_spec import PipelineSpec


def strip(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes: stack traces with this machine's paths, which are four fifths of the file."""
    graph = model.graph
    for item in [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info]:
        del item.metadata_props[:]
        item.doc_string = ""


DATA = "model.onnx.data"
SOFTMAX = "softmax_precision"


def tidy(path: Path) -> None:
    """Remove the notes of a saved graph, name its weight file `DATA`, and ask for softmax in float32."""
    model = onnx.load(path, load_external_data=False)
    strip(model)
    _keep_axes(model.graph)
    for node in model.graph.node:
        if node.op_type == "Attention":
            node.attribute.append(onnx.helper.make_attribute(SOFTMAX, onnx.TensorProto.FLOAT))
    written = path.with_name(f"{path.name}.data")
    if written.exists() and written.name != DATA:
        written.rename(path.with_name(DATA))
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = DATA
    onnx.save(model, path)


def _keep_axes(graph: onnx.GraphProto) -> None:
    """Let a Squeeze of an axis that is longer than one do nothing, as in torch; ONNX refuses it."""
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*graph.value_info, *graph.input)}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Squeeze" or len(node.input) < 2 or node.input[1] not in constants:
            continue
        axes, shape = onnx.numpy_helper.to_array(constants[node.input[1]]).ravel(), shapes.get(node.input[0])
        if shape is not None and all(shape[axis].dim_value > 1 for axis in axes):
            node.op_type = "Identity"
            del node.input[1:]


def for_tensorrt(path: Path) -> bytes:
    """A graph without its weights and without the attribute for the precision of softmax, which TensorRT refuses.

    Raises
    ------
    google.protobuf.message.DecodeError
        The file is not an ONNX model.
    """
    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        kept = [a for a in node.attribute if a.name != SOFTMAX]
        del node.attribute[:]
        node.attribute.extend(kept)
    return bytes(model.SerializeToString())


def variant(source: Path, name: str, before: str, joint: str, after: str | None) -> None:
    """Write the same graph, on the same weight file, with nodes before the input `joint` and after the only output.

    `before` and `after` are small models in ONNX's text form. They are joined to the graph where names are equal.
    """
    model = onnx.load(source, load_external_data=False)
    graph = model.graph
    head = onnx.parser.parse_model(before).graph
    # The input that feeds the joint takes its place, so the order of the inputs stays.
    fed = next(i for i in head.input if i.name not in {k.name for k in graph.input})
    inputs = [fed if i.name == joint else i for i in graph.input]
    nodes = [*head.node, *graph.node]
    if after:
        tail = onnx.parser.parse_model(after).graph
        nodes += tail.node
        del graph.output[:]
        graph.output.extend(tail.output)
    del graph.input[:], graph.node[:]
    graph.input.extend(inputs)
    graph.node.extend(nodes)
    onnx.save(model, source.with_name(name))


# TensorRT takes bytes only as a network's inputs and outputs, so the casts are outermost.
_TEXT = '<ir_version: 10, opset_import: ["" : 23]>\n'
# One scalar for the whole batch, as the pipelines of diffusers and optimum pass it.
SCALAR_TIMESTEP = (
    _TEXT
    + """scalar (float timestep, float[rows, c, h, w] sample) => (float[rows] timesteps) {
    rows_of_sample = Shape <start = 0, end = 1> (sample)
    timesteps = Expand(timestep, rows_of_sample)
}"""
)


def before_decoder(spec: PipelineSpec) -> str:
    c, s = spec.latent_channels, spec.latent_size
    return (
        _TEXT
        + f"""scale (float[rows, {c}, {s}, {s}] latents) => (float[rows, {c}, {s}, {s}] latent_sample) {{
        scale_factor = Constant <value_float = {spec.scaling_factor!r}> ()
        scale_shift = Constant <value_float = {spec.shift_factor!r}> ()
        unscaled_latents = Div(latents, scale_factor)
        latent_sample = Add(unscaled_latents, scale_shift)
    }}"""
    )


def after_decoder(spec: PipelineSpec) -> str:
    p = spec.size
    return (
        _TEXT
        + f"""pixels (float[rows, 3, {p}, {p}] sample) => (uint8[rows, {p}, {p}, 3] images) {{
        pixel_half = Constant <value_float = 127.5> ()
        pixel_low = Constant <value_float = 0.0> ()
        pixel_high = Constant <value_float = 255.0> ()
        pixel_spread = Mul(sample, pixel_half)
        pixel_level = Add(pixel_spread, pixel_half)
        pixel_clipped = Clip(pixel_level, pixel_low, pixel_high)
        pixel_rounded = Round(pixel_clipped)
        pixel_last = Transpose <perm = [0, 2, 3, 1]> (pixel_rounded)
        images = Cast <to = 2> (pixel_last)
    }}"""
    )


def before_encoder(spec: PipelineSpec) -> str:
    p = spec.size
    return (
        _TEXT
        + f"""pixels (uint8[rows, {p}, {p}, 3] images) => (float[rows, 3, {p}, {p}] sample) {{
        pixel_half = Constant <value_float = 127.5> ()
        pixel_one = Constant <value_float = 1.0> ()
        pixel_last = Cast <to = 1> (images)
        pixel_planes = Transpose <perm = [0, 3, 1, 2]> (pixel_last)
        pixel_spread = Div(pixel_planes, pixel_half)
        sample = Sub(pixel_spread, pixel_one)
    }}"""
    )


def after_encoder(spec: PipelineSpec) -> str:
    c, s = spec.latent_channels, spec.latent_size
    return (
        _TEXT
        + f"""scale (float[rows, {2 * c}, {s}, {s}] latent_parameters) => (float[rows, {c}, {s}, {s}] latents) {{
        scale_factor = Constant <value_float = {spec.scaling_factor!r}> ()
        scale_shift = Constant <value_float = {spec.shift_factor!r}> ()
        mean_start = Constant <value_ints = [0]> ()
        mean_end = Constant <value_ints = [{c}]> ()
        mean_axis = Constant <value_ints = [1]> ()
        posterior_mean = Slice(latent_parameters, mean_start, mean_end, mean_axis)
        posterior_moved = Sub(posterior_mean, scale_shift)
        latents = Mul(posterior_moved, scale_factor)
    }}"""
    )
