"""A pipeline folder to ONNX: four graphs where optimum looks for them, and ours beside them on the same weights.

| standard place (optimum's interface)                | ours (the fast interface)                                   |
|-----------------------------------------------------|-------------------------------------------------------------|
| text_encoder/model.onnx  input_ids -> last_hidden_state | the same                                                |
| unet/model.onnx          one scalar timestep        | unet/rows.onnx            a timestep for each row           |
| vae_decoder/model.onnx   float NCHW                 | vae_decoder/images.onnx   latents in UNet scale -> uint8 NHWC |
| vae_encoder/model.onnx   moments                    | vae_encoder/images.onnx   uint8 NHWC -> latents in UNet scale |

All graphs take and give float32 (or integers): the precision lives inside, as casts and weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import torch
from torch import nn

from engines.facts import PipelineFacts
from engines.precision import DTYPES, lower
from engines.quiet import quiet

OPSET = 23
DATA = "model.onnx.data"
Progress = Callable[[str], None]


class _UNet(nn.Module):
    def __init__(self, unet: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.unet, self.dtype = unet, dtype

    def forward(
        self, sample: torch.Tensor, timesteps: torch.Tensor, encoder_hidden_states: torch.Tensor
    ) -> torch.Tensor:
        out = self.unet(
            sample.to(self.dtype), timesteps, encoder_hidden_states.to(self.dtype), return_dict=False
        )[0]
        return out.float()


class _Decoder(nn.Module):
    def __init__(self, vae: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.decoder, self.post_quant_conv, self.dtype = vae.decoder, vae.post_quant_conv, dtype

    def forward(self, latent_sample: torch.Tensor) -> torch.Tensor:
        latents = latent_sample.to(self.dtype)
        return self.decoder(
            latents if self.post_quant_conv is None else self.post_quant_conv(latents)
        ).float()


class _Encoder(nn.Module):
    def __init__(self, vae: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.encoder, self.quant_conv, self.dtype = vae.encoder, vae.quant_conv, dtype

    def forward(self, sample: torch.Tensor) -> torch.Tensor:
        moments = self.encoder(sample.to(self.dtype))
        return (moments if self.quant_conv is None else self.quant_conv(moments)).float()


class _Text(nn.Module):
    def __init__(self, text_encoder: nn.Module) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.text_encoder(input_ids, return_dict=False)[0].float()


def export(
    model: Path, out: Path, facts: PipelineFacts, precision: str, progress: Progress = lambda _: None
) -> None:
    """Write the graphs of a pipeline folder, their configurations, the tokenizer and the scheduler.

    Parameters
    ----------
    model
        A checked pipeline folder.
    out
        The bundle's folder; `model_index.json`, `unet/` and so on are written into it.
    facts
        Of the same folder; its size fixes the graphs' height and width. Rows stay dynamic.
    precision
        fp32, fp16 or bf16.
    progress
        Told the name of each part as it starts.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    dtype = DTYPES[precision]
    side, channels = facts.latent_size, facts.latent_channels
    noise = torch.Generator().manual_seed(0)

    progress("text encoder")
    text = CLIPTextModel.from_pretrained(
        model / "text_encoder", torch_dtype=dtype, attn_implementation="eager"
    )
    ids = torch.ones((2, facts.max_length), dtype=torch.int64)
    _write(_Text(lower(text, dtype)), (ids,), ["input_ids"], ["last_hidden_state"], out / "text_encoder")
    del text

    progress("unet")
    unet = UNet2DConditionModel.from_pretrained(model / "unet", torch_dtype=dtype)
    sample = torch.randn((2, facts.unet_in_channels, side, side), generator=noise)
    words = torch.randn((2, facts.max_length, facts.text_dim), generator=noise)
    _write(
        _UNet(lower(unet, dtype), dtype),
        (sample, torch.tensor([3.0, 7.0]), words),
        ["sample", "timesteps", "encoder_hidden_states"],
        ["out_sample"],
        out / "unet",
        "rows.onnx",
    )
    _variant(out / "unet", "rows.onnx", "model.onnx", _SCALAR_TIMESTEP, "timesteps", None)
    del unet

    vae = lower(AutoencoderKL.from_pretrained(model / "vae", torch_dtype=dtype), dtype)
    latents = torch.randn((2, channels, side, side), generator=noise)
    progress("vae decoder")
    _write(_Decoder(vae, dtype), (latents,), ["latent_sample"], ["sample"], out / "vae_decoder")
    _variant(
        out / "vae_decoder",
        "model.onnx",
        "images.onnx",
        _before_decoder(facts),
        "latent_sample",
        _after_decoder(facts),
    )
    pixels = torch.randn((2, 3, facts.size, facts.size), generator=noise)
    progress("vae encoder")
    _write(_Encoder(vae, dtype), (pixels,), ["sample"], ["latent_parameters"], out / "vae_encoder")
    _variant(
        out / "vae_encoder",
        "model.onnx",
        "images.onnx",
        _before_encoder(facts),
        "sample",
        _after_encoder(facts),
    )

    for part, source in (
        ("text_encoder", "text_encoder"),
        ("unet", "unet"),
        ("vae_decoder", "vae"),
        ("vae_encoder", "vae"),
    ):
        shutil.copyfile(model / source / "config.json", out / part / "config.json")


def _write(
    module: nn.Module,
    args: tuple[torch.Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    folder: Path,
    name: str = "model.onnx",
) -> None:
    """Export one module with dynamic rows; its weights go into one file beside the graph."""
    rows = torch.export.Dim("rows", min=1, max=4096)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), quiet():
        program = torch.onnx.export(
            module.eval(),
            args,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: rows} for _ in args),
            verbose=False,
            optimize=True,
        )
    assert program is not None
    program.save(folder / name, external_data=True)
    written = folder / f"{name}.data"
    if written.name != DATA:
        written.rename(folder / DATA)
    graph = onnx.load(folder / name, load_external_data=False)
    _strip(graph)
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = DATA
    onnx.save(graph, folder / name)


def _strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes: stack traces with this machine's paths, four fifths of the file."""
    graph = model.graph
    for item in [
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.initializer,
        *graph.value_info,
    ]:
        del item.metadata_props[:]
        item.doc_string = ""


def _variant(folder: Path, source: str, name: str, before: str, joint: str, after: str | None) -> None:
    """The same graph and weight file with nodes put before input `joint` and after the only output.

    `before` and `after` are ONNX's text form of a small model; the ends that are joined have the same names.
    """
    model = onnx.load(folder / source, load_external_data=False)
    graph = model.graph
    head = onnx.parser.parse_model(before).graph
    kept = [i for i in graph.input if i.name != joint]
    inputs = [
        *[i for i in kept if i.name == "sample"],
        *[i for i in head.input if i.name != "sample"],
        *[i for i in kept if i.name != "sample"],
    ]
    nodes = [*head.node, *graph.node]
    if after:
        tail = onnx.parser.parse_model(after).graph
        nodes += tail.node
        del graph.output[:]
        graph.output.extend(tail.output)
    del graph.input[:], graph.node[:]
    graph.input.extend(inputs)
    graph.node.extend(nodes)
    onnx.save(model, folder / name)


_TEXT = '<ir_version: 10, opset_import: ["" : 23]>\n'
# One scalar for the whole batch, as diffusers' pipelines (and so optimum's) pass it.
_SCALAR_TIMESTEP = (
    _TEXT
    + """scalar (float timestep, float[rows, c, h, w] sample) => (float[rows] timesteps) {
    rows_of_sample = Shape <start = 0, end = 1> (sample)
    timesteps = Expand(timestep, rows_of_sample)
}"""
)


def _before_decoder(facts: PipelineFacts) -> str:
    c, s = facts.latent_channels, facts.latent_size
    return (
        _TEXT
        + f"""scale (float[rows, {c}, {s}, {s}] latents) => (float[rows, {c}, {s}, {s}] latent_sample) {{
        scale_factor = Constant <value_float = {facts.scaling_factor!r}> ()
        scale_shift = Constant <value_float = {facts.shift_factor!r}> ()
        unscaled_latents = Div(latents, scale_factor)
        latent_sample = Add(unscaled_latents, scale_shift)
    }}"""
    )


def _after_decoder(facts: PipelineFacts) -> str:
    p = facts.size
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
        pixel_bytes = Cast <to = 2> (pixel_rounded)
        images = Transpose <perm = [0, 2, 3, 1]> (pixel_bytes)
    }}"""
    )


def _before_encoder(facts: PipelineFacts) -> str:
    p = facts.size
    return (
        _TEXT
        + f"""pixels (uint8[rows, {p}, {p}, 3] images) => (float[rows, 3, {p}, {p}] sample) {{
        pixel_half = Constant <value_float = 127.5> ()
        pixel_one = Constant <value_float = 1.0> ()
        pixel_planes = Transpose <perm = [0, 3, 1, 2]> (images)
        pixel_level = Cast <to = 1> (pixel_planes)
        pixel_spread = Div(pixel_level, pixel_half)
        sample = Sub(pixel_spread, pixel_one)
    }}"""
    )


def _after_encoder(facts: PipelineFacts) -> str:
    c, s = facts.latent_channels, facts.latent_size
    return (
        _TEXT
        + f"""scale (float[rows, {2 * c}, {s}, {s}] latent_parameters) => (float[rows, {c}, {s}, {s}] latents) {{
        scale_factor = Constant <value_float = {facts.scaling_factor!r}> ()
        scale_shift = Constant <value_float = {facts.shift_factor!r}> ()
        mean_start = Constant <value_ints = [0]> ()
        mean_end = Constant <value_ints = [{c}]> ()
        mean_axis = Constant <value_ints = [1]> ()
        posterior_mean = Slice(latent_parameters, mean_start, mean_end, mean_axis)
        posterior_moved = Sub(posterior_mean, scale_shift)
        latents = Mul(posterior_moved, scale_factor)
    }}"""
    )
