"""A pipeline folder to ONNX: graphs where optimum looks for them, and ours next to them on the same weights.

| part         | standard place: model.onnx, optimum's interface | ours, the fast interface                      |
|--------------|-------------------------------------------------|-----------------------------------------------|
| text_encoder | input_ids -> last_hidden_state                  | the same; of other families what they use     |
| unet         | one scalar timestep                             | rows.onnx: a timestep for each row            |
| transformer  | none                                            | rows.onnx: latents as the VAE has them        |
| vae_decoder  | float NCHW                                      | images.onnx: latents in UNet scale -> uint8 NHWC |
| vae_encoder  | moments                                         | images.onnx: uint8 NHWC -> latents in UNet scale |

All graphs take and give float32 (or integers): the precision is inside, as casts and weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dermforge.common import finished_parts
from dermforge.common.atomic import write_whole
from engines.compile.onnx_edits import (
    SCALAR_TIMESTEP,
    after_decoder,
    after_encoder,
    before_decoder,
    before_encoder,
    variant,
)
from engines.compile.onnx_graph import write_graph
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
from engines.conditioning import Conditioning, empty, gauss, in_precision
from engines.errors import EngineError
from engines.int8_weights import to_int8
from engines.memory import give_back
from engines.models import families
from engines.models.family import Family
from engines.pipeline_spec import PipelineSpec
from engines.small_decoder import load_network

CONFIG = "config.json"
Progress = Callable[[str], None]


class DenoiserRows(nn.Module):
    """A denoiser with a timestep for each row: float32 in and out, in its own precision within."""

    def __init__(self, denoiser: Any, spec: PipelineSpec, dtype: torch.dtype) -> None:
        super().__init__()
        self.denoiser, self.spec, self.dtype = denoiser, spec, dtype

    def forward(self, sample: torch.Tensor, timesteps: torch.Tensor, *conditioning: torch.Tensor) -> torch.Tensor:
        spec, family = self.spec, families()[self.spec.family]
        for value in (timesteps, *conditioning):  # some denoisers divide by one number of rows what has another
            torch._check(value.shape[0] == sample.shape[0])
        given = in_precision(dict(zip(spec.conditioning, conditioning, strict=True)), self.dtype)
        return family.predict(self.denoiser, sample.to(self.dtype), timesteps, given, spec).float()


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
    def __init__(self, family: Family, part: str, text_encoder: Any) -> None:
        super().__init__()
        self.family, self.part, self.text_encoder = family, part, text_encoder

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.family.text_outputs(self.part, self.text_encoder, input_ids).values())


@dataclass(frozen=True)
class _Export:
    """One export: from which pipeline folder to where, and the noise that examples are made of."""

    model: Path
    out: Path
    spec: PipelineSpec
    dtype: torch.dtype
    noise: torch.Generator
    progress: Progress
    int8: Container[str] = ()

    @property
    def family(self) -> Family:
        return families()[self.spec.family]

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

    def text(self) -> Conditioning:
        """Write the text encoders; returns an example of what they give together, of two rows."""
        spec, outputs = self.spec, dict[str, dict[str, torch.Tensor]]()
        for part, length in zip(spec.text_encoders, spec.tokens.values(), strict=True):
            self.progress(part.replace("_", " "))
            encoder = load_network(self.model, part)
            ids = torch.randint(0, encoder.config.vocab_size, (2, length), generator=self.noise)
            text = _Text(self.family, part, encoder)
            if self.dtype == torch.float16:
                refuse_overflow(part.replace("_", " "), text, ids[:1])
            with torch.inference_mode():
                found = self.family.text_outputs(part, encoder, ids)
                outputs[part] = {name: value.clone() for name, value in found.items()}
            lower(to_int8(encoder) if part in self.int8 else encoder, self.dtype)
            write_graph(text, (ids,), ["input_ids"], list(found), self.out / part / "model.onnx")
            self.finish(part, part)
        given = empty(spec.conditioning, 2)
        for name, value in spec.constants.items():
            given[name] += torch.tensor(value)
        return given | dict(self.family.conditioning(outputs, spec))

    def denoiser(self, words: Conditioning) -> None:
        """Write the denoiser's graph, and for a UNet the one with one timestep for all rows."""
        spec, part = self.spec, self.spec.denoiser
        self.progress(part)
        network, path = load_network(self.model, part), self.out / part / "rows.onnx"
        sample = self.gauss(2, spec.unet_in_channels, spec.latent_size, spec.latent_size)
        given = [words[name] for name in spec.conditioning]
        if self.dtype == torch.float16:  # it starts from pure noise at the last timestep
            last = torch.tensor([spec.num_train_timesteps - 1.0])
            exact = DenoiserRows(network, spec, torch.float32)
            refuse_overflow(type(network).__name__, exact, sample[:1], last, *(value[:1] for value in given))
        names = ["sample", "timesteps", *(self.family.inputs[name] for name in spec.conditioning)]
        args = (sample, torch.tensor([3.0, 7.0]), *given)
        write_graph(DenoiserRows(lower(network, self.dtype), spec, self.dtype), args, names, ["out_sample"], path)
        if self.family.scalar_timestep:
            variant(path, "model.onnx", SCALAR_TIMESTEP, "timesteps", None)
        self.finish(part, part)

    def vae(self) -> None:
        """Write the two graphs of the VAE's decoder and of its encoder; a half that overflows fp16 stays in fp32."""
        spec, vae, side = self.spec, load_network(self.model, "vae"), self.spec.latent_size
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
        write_graph(_Decoder(vae, kinds["decoder"]), (latents,), ["latent_sample"], ["sample"], path)
        variant(path, "images.onnx", before_decoder(spec), "latent_sample", after_decoder(spec))
        self.finish("vae_decoder", "vae")
        self.progress("vae encoder")
        path = self.out / "vae_encoder" / "model.onnx"
        write_graph(_Encoder(vae, kinds["encoder"]), (pixels,), ["sample"], ["latent_parameters"], path)
        variant(path, "images.onnx", before_encoder(spec), "sample", after_encoder(spec))
        self.finish("vae_encoder", "vae")


def export(
    model: Path,
    out: Path,
    spec: PipelineSpec,
    precision: str,
    progress: Progress = lambda _: None,
    int8: Container[str] = (),
) -> None:
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
    int8
        Text encoders whose weights go into 8 bits.

    Raises
    ------
    EngineError
        A text encoder or the denoiser overflows in fp16.
    """
    job = _Export(model, out, spec, DTYPES[precision], torch.Generator().manual_seed(0), progress, int8)
    if job.finished(*spec.text_encoders, spec.denoiser):
        texts = ", ".join(part.replace("_", " ") for part in spec.text_encoders)
        progress(f"{texts} and {spec.denoiser}: kept from the build that was stopped")
    else:
        job.denoiser(job.text())
    if job.finished("vae_decoder", "vae_encoder"):
        progress("vae: kept from the build that was stopped")
    else:
        job.vae()


def export_denoiser(
    model: Path, out: Path, spec: PipelineSpec, precision: str, progress: Progress = lambda _: None
) -> None:
    """`export` of the denoiser alone."""
    job = _Export(model, out, spec, DTYPES[precision], torch.Generator().manual_seed(0), progress)
    job.denoiser(gauss(spec.conditioning, 2, generator=job.noise))


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
