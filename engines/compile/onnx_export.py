"""A pipeline folder to ONNX: four graphs where optimum looks for them, and ours next to them on the same weights.

| part         | standard place: model.onnx, optimum's interface | ours, the fast interface                      |
|--------------|-------------------------------------------------|-----------------------------------------------|
| text_encoder | input_ids -> last_hidden_state                  | the same                                      |
| unet         | one scalar timestep                             | rows.onnx: a timestep for each row            |
| vae_decoder  | float NCHW                                      | images.onnx: latents in UNet scale -> uint8 NHWC |
| vae_encoder  | moments                                         | images.onnx: uint8 NHWC -> latents in UNet scale |

All graphs take and give float32 (or integers): the precision is inside, as casts and weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dermforge.common import finished_parts
from dermforge.common.atomic import write_whole
from engines.checkpoint.weights import load_part
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
from engines.memory import give_back
from engines.pipeline_spec import PipelineSpec
from engines.silence import quiet

OPSET = 23
CONFIG = "config.json"
Progress = Callable[[str], None]


class UNetRows(nn.Module):
    def __init__(self, unet: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.unet, self.dtype = unet, dtype

    def forward(
        self, sample: torch.Tensor, timesteps: torch.Tensor, encoder_hidden_states: torch.Tensor
    ) -> torch.Tensor:
        words = encoder_hidden_states.to(self.dtype)
        out: torch.Tensor = self.unet(sample.to(self.dtype), timesteps, words, return_dict=False)[0].float()
        return out


class _Decoder(nn.Module):
    def __init__(self, vae: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.decoder, self.post_quant_conv, self.dtype = vae.decoder, vae.post_quant_conv, dtype

    def forward(self, latent_sample: torch.Tensor) -> torch.Tensor:
        latents = latent_sample.to(self.dtype)
        out: torch.Tensor = self.decoder(
            latents if self.post_quant_conv is None else self.post_quant_conv(latents)
        ).float()
        return out


class _Encoder(nn.Module):
    def __init__(self, vae: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.encoder, self.quant_conv, self.dtype = vae.encoder, vae.quant_conv, dtype

    def forward(self, sample: torch.Tensor) -> torch.Tensor:
        moments = self.encoder(sample.to(self.dtype))
        out: torch.Tensor = (moments if self.quant_conv is None else self.quant_conv(moments)).float()
        return out


class _Text(nn.Module):
    def __init__(self, text_encoder: Any) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.text_encoder(input_ids, return_dict=False)[0].float()
        return out


@dataclass(frozen=True)
class _Export:
    """One export: from which pipeline folder to where, and the noise that examples are made of."""

    model: Path
    out: Path
    spec: PipelineSpec
    dtype: torch.dtype
    noise: torch.Generator
    progress: Progress

    def gauss(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.noise)

    def finished(self, *parts: str) -> bool:
        """Whether a build that was stopped later wrote the parts to their end; what is left of others goes."""
        if all(finished_parts.holds(self.out, part) for part in parts):
            return True
        for part in parts:
            shutil.rmtree(self.out / part, ignore_errors=True)
        return False

    def finish(self, part: str, source: str) -> None:
        """Write a part's configuration, and that the part is finished."""
        write_whole(self.out / part / CONFIG, (self.model / source / CONFIG).read_bytes(), fsync=False)
        finished_parts.note(self.out, part)
        give_back()

    def text(self) -> torch.Tensor:
        """Write the text encoder; returns an example of what it gives, float32 [2, max_length, text_dim]."""
        self.progress("text encoder")
        spec, encoder = self.spec, load_part(self.model, "text_encoder")
        ids = torch.randint(0, encoder.config.vocab_size, (2, spec.max_length), generator=self.noise)
        text = _Text(encoder)
        if self.dtype == torch.float16:
            refuse_overflow("text encoder", text, ids[:1])
            with torch.inference_mode():
                words: torch.Tensor = text(ids).clone()
        else:
            words = self.gauss(2, *spec.conditioning["text"])
        lower(encoder, self.dtype)
        write_graph(text, (ids,), ["input_ids"], "last_hidden_state", self.out / "text_encoder" / "model.onnx")
        self.finish("text_encoder", "text_encoder")
        return words

    def unet(self, words: torch.Tensor) -> None:
        """Write the UNet's two graphs."""
        self.progress("unet")
        spec, unet, path = self.spec, load_part(self.model, "unet"), self.out / "unet" / "rows.onnx"
        sample = self.gauss(2, spec.unet_in_channels, spec.latent_size, spec.latent_size)
        if self.dtype == torch.float16:  # a UNet starts from pure noise at the last timestep
            last = torch.tensor([spec.num_train_timesteps - 1.0])
            refuse_overflow("UNet", UNetRows(unet, torch.float32), sample[:1], last, words[:1])
        args, names = (sample, torch.tensor([3.0, 7.0]), words), ["sample", "timesteps", "encoder_hidden_states"]
        write_graph(UNetRows(lower(unet, self.dtype), self.dtype), args, names, "out_sample", path)
        variant(path, "model.onnx", SCALAR_TIMESTEP, "timesteps", None)
        self.finish("unet", "unet")

    def vae(self) -> None:
        """Write the two graphs of the VAE's decoder and of its encoder; a half that overflows fp16 stays in fp32."""
        spec, vae, side = self.spec, load_part(self.model, "vae"), self.spec.latent_size
        latents, pixels = self.gauss(2, spec.latent_channels, side, side), self.gauss(2, 3, spec.size, spec.size)
        halves = {
            "decoder": (_Decoder(vae, torch.float32), latents[:1] / spec.scaling_factor),
            "encoder": (_Encoder(vae, torch.float32), pixels[:1].clamp(-1, 1)),
        }
        kinds = vae_dtypes(self.dtype)
        for name, (half, example) in halves.items():
            if self.dtype == torch.float16 and not fits_half(half, example):
                self.progress(f"the VAE's {name} overflows in fp16: it stays in fp32")
                kinds |= dict.fromkeys(DECODER if name == "decoder" else ENCODER, torch.float32)
        lower_vae(vae, kinds)
        self.progress("vae decoder")
        path = self.out / "vae_decoder" / "model.onnx"
        write_graph(_Decoder(vae, kinds["decoder"]), (latents,), ["latent_sample"], "sample", path)
        variant(path, "images.onnx", before_decoder(spec), "latent_sample", after_decoder(spec))
        self.finish("vae_decoder", "vae")
        self.progress("vae encoder")
        path = self.out / "vae_encoder" / "model.onnx"
        write_graph(_Encoder(vae, kinds["encoder"]), (pixels,), ["sample"], "latent_parameters", path)
        variant(path, "images.onnx", before_encoder(spec), "sample", after_encoder(spec))
        self.finish("vae_encoder", "vae")


def export(model: Path, out: Path, spec: PipelineSpec, precision: str, progress: Progress = lambda _: None) -> None:
    """Write the graphs of a pipeline folder and their configurations.

    Parameters
    ----------
    model
        A checked pipeline folder.
    out
        The bundle's folder; `unet/` and so on are written into it.
    spec
        The numbers of the same folder; its size fixes the graphs' height and width. Batch rows stay dynamic.
    precision
        fp32, fp16 or bf16; for fp8, fp16 graphs that `engines.compile.fp8` changes afterwards.
    progress
        Called with the name of each part as it starts.

    Raises
    ------
    EngineError
        The text encoder or the UNet overflows in fp16.
    """
    job = _Export(model, out, spec, DTYPES[precision], torch.Generator().manual_seed(0), progress)
    if job.finished("text_encoder", "unet"):
        progress("text encoder and unet: kept from the build that was stopped")
    else:
        job.unet(job.text())
    if job.finished("vae_decoder", "vae_encoder"):
        progress("vae: kept from the build that was stopped")
    else:
        job.vae()


def refuse_overflow(name: str, module: nn.Module, *example: torch.Tensor) -> None:
    """Refuse fp16 for a part that leaves its range on an example, before the part is exported.

    Raises
    ------
    EngineError
        Names the layer with the largest value.
    """
    largest, layer = largest_output(module, *example)
    if not largest < HALF_MAX:
        raise EngineError(
            f"the {name} overflows in fp16: {layer} reaches {largest:.2g}, and fp16 ends at "
            f"{HALF_MAX:.0f}; build with precision bf16 or fp32"
        )


def write_graph(module: nn.Module, args: tuple[torch.Tensor, ...], inputs: list[str], output: str, path: Path) -> None:
    """Export one module with dynamic batch rows; its weights go into `model.onnx.data` next to the graph.

    The module loses its weights.
    """
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
    tidy(path)
    for value in (*module.parameters(), *module.buffers()):  # the exporter's caches keep the module
        value.data = value.data.new_empty(0)
