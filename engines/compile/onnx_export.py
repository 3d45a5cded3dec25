"""A pipeline folder to ONNX: four graphs where optimum looks for them, and ours beside them on the same weights.

| part         | standard place: model.onnx, optimum's interface | ours, the fast interface                      |
|--------------|-------------------------------------------------|-----------------------------------------------|
| text_encoder | input_ids -> last_hidden_state                  | the same                                      |
| unet         | one scalar timestep                             | rows.onnx: a timestep for each row            |
| vae_decoder  | float NCHW                                      | images.onnx: latents in UNet scale -> uint8 NHWC |
| vae_encoder  | moments                                         | images.onnx: uint8 NHWC -> latents in UNet scale |

All graphs take and give float32 (or integers): the precision lives inside, as casts and weights. Small UNets also
get `unet/cpu.onnx` (see `engines.compile.spatial_unet`), whose weights are transformed and lie in a file of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engines.backends.torch_eager import load_part
from engines.compile import spatial_unet
from engines.compile.onnx_edits import (
    SCALAR_TIMESTEP,
    after_decoder,
    after_encoder,
    before_decoder,
    before_encoder,
    tidy,
    variant,
)
from engines.compile.precision import (
    DECODER,
    DTYPES,
    ENCODER,
    HALF_MAX,
    fits_half,
    largest_output,
    lower,
    lower_vae,
    vae_dtypes,
)
from engines.errors import EngineError
from engines.pipeline_spec import PipelineSpec
from engines.silence import quiet

OPSET = 23
DATA = "model.onnx.data"
Progress = Callable[[str], None]


class UNetRows(nn.Module):
    def __init__(self, unet: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.unet, self.dtype = unet, dtype

    def forward(
        self, sample: torch.Tensor, timesteps: torch.Tensor, encoder_hidden_states: torch.Tensor
    ) -> torch.Tensor:
        out = self.unet(sample.to(self.dtype), timesteps, encoder_hidden_states.to(self.dtype), return_dict=False)[0]
        return out.float()


class _Decoder(nn.Module):
    def __init__(self, vae: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.decoder, self.post_quant_conv, self.dtype = vae.decoder, vae.post_quant_conv, dtype

    def forward(self, latent_sample: torch.Tensor) -> torch.Tensor:
        latents = latent_sample.to(self.dtype)
        return self.decoder(latents if self.post_quant_conv is None else self.post_quant_conv(latents)).float()


class _Encoder(nn.Module):
    def __init__(self, vae: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.encoder, self.quant_conv, self.dtype = vae.encoder, vae.quant_conv, dtype

    def forward(self, sample: torch.Tensor) -> torch.Tensor:
        moments = self.encoder(sample.to(self.dtype))
        return (moments if self.quant_conv is None else self.quant_conv(moments)).float()


class _Text(nn.Module):
    def __init__(self, text_encoder: Any) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.text_encoder(input_ids, return_dict=False)[0].float()


def export(model: Path, out: Path, spec: PipelineSpec, precision: str, progress: Progress = lambda _: None) -> None:
    """Write the graphs of a pipeline folder, their configurations, the tokenizer and the scheduler.

    Parameters
    ----------
    model
        A checked pipeline folder.
    out
        The bundle's folder; `unet/` and so on are written into it.
    spec
        Of the same folder; its size fixes the graphs' height and width. Rows stay dynamic.
    precision
        fp32, fp16 or bf16; for fp8, fp16 graphs that `engines.compile.fp8` changes afterwards.
    progress
        Told the name of each part as it starts.
    """
    dtype, noise = DTYPES[precision], torch.Generator().manual_seed(0)
    side, channels = spec.latent_size, spec.latent_channels

    def gauss(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=noise)

    progress("text encoder")
    encoder = load_part(model, "text_encoder")
    ids = torch.randint(0, encoder.config.vocab_size, (2, spec.max_length), generator=noise)
    text = _Text(encoder)
    if dtype == torch.float16:
        refuse_overflow("text encoder", text, ids[:1])
        with torch.inference_mode():
            words = text(ids).clone()
    else:
        words = gauss(2, spec.max_length, spec.text_dim)
    lower(encoder, dtype)
    write_graph(text, (ids,), ["input_ids"], "last_hidden_state", out / "text_encoder" / "model.onnx")

    progress("unet")
    unet = load_part(model, "unet")
    args = (gauss(2, spec.unet_in_channels, side, side), torch.tensor([3.0, 7.0]), words)
    names = ["sample", "timesteps", "encoder_hidden_states"]
    if precision == "fp32" and spatial_unet.supports(unet, side):
        small = spatial_unet.SpatialUNet(unet, side)
        write_graph(small, args, names, "out_sample", out / "unet" / "cpu.onnx", "cpu.onnx.data")
    if dtype == torch.float16:  # pure noise at the last timestep is what the UNet is really given
        last = torch.tensor([spec.num_train_timesteps - 1.0])
        refuse_overflow("UNet", UNetRows(unet, torch.float32), args[0][:1], last, words[:1])
    write_graph(UNetRows(lower(unet, dtype), dtype), args, names, "out_sample", out / "unet" / "rows.onnx")
    variant(out / "unet" / "rows.onnx", "model.onnx", SCALAR_TIMESTEP, "timesteps", None)
    del unet

    vae = load_part(model, "vae")
    latents, pixels = gauss(2, channels, side, side), gauss(2, 3, spec.size, spec.size)
    halves = {
        "decoder": (_Decoder(vae, torch.float32), latents[:1] / spec.scaling_factor),
        "encoder": (_Encoder(vae, torch.float32), pixels[:1].clamp(-1, 1)),
    }
    kinds = vae_dtypes(dtype)
    for name, (half, example) in halves.items():
        if dtype == torch.float16 and not fits_half(half, example):
            progress(f"the VAE's {name} overflows in fp16: it stays in fp32")
            kinds |= dict.fromkeys(DECODER if name == "decoder" else ENCODER, torch.float32)
    lower_vae(vae, kinds)
    progress("vae decoder")
    path = out / "vae_decoder" / "model.onnx"
    write_graph(_Decoder(vae, kinds["decoder"]), (latents,), ["latent_sample"], "sample", path)
    variant(path, "images.onnx", before_decoder(spec), "latent_sample", after_decoder(spec))
    progress("vae encoder")
    path = out / "vae_encoder" / "model.onnx"
    write_graph(_Encoder(vae, kinds["encoder"]), (pixels,), ["sample"], "latent_parameters", path)
    variant(path, "images.onnx", before_encoder(spec), "sample", after_encoder(spec))

    for part in ("text_encoder", "unet", "vae_decoder", "vae_encoder"):
        source = "vae" if part.startswith("vae") else part
        shutil.copyfile(model / source / "config.json", out / part / "config.json")


def refuse_overflow(name: str, module: nn.Module, *example: torch.Tensor) -> None:
    """Refuse fp16 for a part that goes beyond its range on an example, before it is exported.

    Raises
    ------
    EngineError
        Which layer, and how far.
    """
    largest, layer = largest_output(module, *example)
    if not largest < HALF_MAX:
        raise EngineError(
            f"the {name} overflows in fp16: {layer} reaches {largest:.2g}, and fp16 ends at "
            f"{HALF_MAX:.0f}; build with --precision bf16 or fp32"
        )


def write_graph(
    module: nn.Module, args: tuple[torch.Tensor, ...], inputs: list[str], output: str, path: Path, data: str = DATA
) -> None:
    """Export one module with dynamic rows; its weights go into one file beside the graph."""
    rows = torch.export.Dim("rows", min=1, max=4096)
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), quiet():
        program = torch.onnx.export(
            module.eval(),
            args,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=[output],
            dynamic_shapes=tuple({0: rows} for _ in args),
            verbose=False,
            optimize=True,
        )
    assert program is not None
    program.save(path, external_data=True)
    tidy(path, data)
