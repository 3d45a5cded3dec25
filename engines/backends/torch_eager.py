"""Torch: op by op for reference; compiled for speed, as a CUDA graph when it runs or ahead of time for a CPU."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import nn

from dermforge.common.digests import digest_file
from engines.backends import torch_aot
from engines.backends.cuda_graph import captured
from engines.bundle import Artefact, Bundle
from engines.compile.precision import DTYPES, lower, lower_vae, vae_dtypes
from engines.engine import Calls, Engine
from engines.errors import EngineError
from engines.memory import require_on_gpu
from engines.pipeline_spec import PipelineSpec, weight_files
from engines.silence import quiet

# CUDA graphs are ours: the compiler's own trees copy inputs and re-record when a buffer moves.
COMPILE_MODE = "max-autotune-no-cudagraphs"
# Beside the mode's own: 1x1 convolutions are matrix products in the channels-last layout.
COMPILE_OPTIONS = {"conv_1x1_as_mm": True}
BATCHES_A_CORE = 2  # of a plan in one UNet call: what lies between two calls keeps no core busy
FIRST_CALLS = Lock()  # compiling and recording are not for two threads at once


@dataclass(frozen=True)
class Modules:
    """The three networks of a pipeline."""

    text_encoder: Any
    unet: Any
    vae: Any


def load_part(folder: Path, part: str) -> Any:
    """One network of a pipeline folder in float32; safetensors only."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    kinds = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    more = {"attn_implementation": "eager"} if part == "text_encoder" else {}
    place = folder / part
    with quiet():
        found = kinds[part].from_pretrained(place, use_safetensors=True, variant=weight_files(place)[1], **more)
    return found.float()  # some versions keep the precision of the file


def load_modules(folder: Path, precision: str = "fp32", device: torch.device | str = "cpu") -> Modules:
    """The networks of a pipeline folder, norms in float32 whatever the precision."""
    dtype = DTYPES[precision]
    text, unet = (lower(load_part(folder, part), dtype) for part in ("text_encoder", "unet"))
    vae = lower_vae(load_part(folder, "vae"), vae_dtypes(dtype))
    return Modules(*(part.to(device).requires_grad_(False) for part in (text, unet, vae)))


def eager(modules: Modules, spec: PipelineSpec, device: torch.device) -> Calls:
    """The four calls, op by op: what every other backend is compared with."""
    bare = _bare(modules, spec, device)
    return replace(
        bare,
        text=_no_grad(bare.text),
        unet=_no_grad(bare.unet),
        decode=_no_grad(bare.decode),
        encode=_no_grad(bare.encode),
    )


def _bare(modules: Modules, spec: PipelineSpec, device: torch.device) -> Calls:
    """The four calls without inference mode, which a compiled function may run in but must not enter."""
    half = 127.5

    def text(ids: torch.Tensor) -> torch.Tensor:
        return modules.text_encoder(ids.to(device), return_dict=False)[0].float()

    def unet(latents: torch.Tensor, timesteps: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        kind = _dtype(modules.unet)
        return modules.unet(latents.to(kind), timesteps, conditioning.to(kind), return_dict=False)[0].float()

    def decode(latents: torch.Tensor) -> torch.Tensor:
        return _decoded(modules, spec, latents).round_().to(torch.uint8)

    def encode(images: torch.Tensor) -> torch.Tensor:
        pixels = images.permute(0, 3, 1, 2).float() / half - 1
        mean = modules.vae.encode(pixels.to(_dtype(modules.vae.encoder)), return_dict=False)[0].mean.float()
        return (mean - spec.shift_factor) * spec.scaling_factor

    return Calls(text, unet, decode, encode, device)


def decode_exact(modules: Modules, spec: PipelineSpec, latents: torch.Tensor) -> torch.Tensor:
    """The decoder's images before they are rounded: float32 [n, H, W, 3] in 0..255."""
    with torch.inference_mode():
        return _decoded(modules, spec, latents)


def _decoded(modules: Modules, spec: PipelineSpec, latents: torch.Tensor) -> torch.Tensor:
    unscaled = latents / spec.scaling_factor + spec.shift_factor
    pixels = modules.vae.decode(unscaled.to(_dtype(modules.vae.decoder)), return_dict=False)[0].float()
    return (pixels * 127.5 + 127.5).clamp_(0, 255).permute(0, 2, 3, 1).contiguous()


def _dtype(module: nn.Module) -> torch.dtype:
    """Of the products: norms stay in float32."""
    return next(p.dtype for p in module.parameters() if p.ndim > 1)


class Reference(Engine):
    """A pipeline folder in float32, op by op, with a bundle's manifest."""

    def __init__(self, model: Path, bundle: Bundle, device: torch.device) -> None:
        self.modules = load_modules(model, "fp32", device)
        super().__init__(bundle, "torch", bundle.manifest.rows, eager(self.modules, bundle.manifest.spec, device))

    def decode_exact(self, latents: torch.Tensor) -> torch.Tensor:
        """`decode` before rounding, at once for all rows."""
        return decode_exact(self.modules, self.spec, latents)


class Lowered(Engine):
    """A pipeline folder in its bundle's precision, op by op on the CPU: stands in for a graph nothing here can run."""

    def __init__(self, model: Path, bundle: Bundle) -> None:
        modules, device = load_modules(model, bundle.manifest.precision), torch.device("cpu")
        super().__init__(bundle, "torch", bundle.manifest.rows, eager(modules, bundle.manifest.spec, device))


def for_speed(modules: Modules) -> Modules:
    """The same networks laid out for tensor cores: channels last, one product for queries, keys and values."""
    modules.unet.fuse_qkv_projections()
    for network in (modules.unet, modules.vae):
        network.to(memory_format=torch.channels_last)
    return modules


def compiled(modules: Modules, spec: PipelineSpec, device: torch.device, mode: str = COMPILE_MODE) -> Calls:
    """The calls with the UNet and the decoder compiled, the UNet replayed as one CUDA graph.

    Both are compiled at the first call of their one static shape.
    """
    modules = for_speed(modules)
    from torch._inductor import list_mode_options

    bare, options = _bare(modules, spec, device), {**list_mode_options(mode), **COMPILE_OPTIONS}
    unet = torch.compile(bare.unet, options=options, dynamic=False)
    decode = torch.compile(bare.decode, options=options, dynamic=False)
    return replace(
        eager(modules, spec, device),
        unet=_no_grad(_at_first(lambda *arrays: captured(unet, *arrays))),
        decode=_no_grad(_at_first(lambda *arrays: _ran(decode, *arrays))),
        recordable=_no_grad(unet) if device.type == "cuda" else None,
    )


def _at_first(make: Callable[..., Callable[..., torch.Tensor]]) -> Callable[..., torch.Tensor]:
    """A call that is made ready with its first arrays, one such call at a time over all threads."""
    made: list[Callable[..., torch.Tensor]] = []

    def call(*arrays: torch.Tensor) -> torch.Tensor:
        with FIRST_CALLS if not made else nullcontext():
            if not made:
                made.append(make(*arrays))
        return made[0](*arrays)

    return call


def _ran(call: Callable[..., torch.Tensor], *arrays: torch.Tensor) -> Callable[..., torch.Tensor]:
    """The call, compiled by having been run."""
    call(*arrays)
    return call


def open_calls(bundle: Bundle, rows: int, device: str | None = None, threads: int | None = None) -> Calls:
    """A bundle's torch weights: compiled where they run on CUDA, op by op elsewhere."""
    if not bundle.find("weights", "torch"):
        raise EngineError(
            f"{bundle.folder} has no torch weights; build a bundle with `gen build-engine --backend torch`"
        )
    plans = bundle.find("plan", "torch")
    place = torch_device(device or ("cpu" if plans else None))
    bundle.verify(a for a in bundle.manifest.artefacts if a.kind != "plan")
    if threads:
        torch.set_num_threads(threads)
    if place.type == "cuda":
        require_on_gpu(place, sum(a.bytes for a in bundle.find("weights", "torch")), str(bundle.folder))
    modules = load_modules(bundle.folder, bundle.manifest.precision, place)
    if place.type == "cuda":
        return compiled(modules, bundle.manifest.spec, place)
    calls = replace(eager(modules, bundle.manifest.spec, place), threads=torch.get_num_threads())
    return _with_plans(calls, bundle, plans, rows) if plans else calls


def static_rows(bundle: Bundle, device: str | None = None, threads: int | None = None) -> int:
    """Rows of one UNet call: as many as the bundle says; with plans for a CPU, a few times as many for each core."""
    if not bundle.find("plan", "torch") or device not in (None, "cpu"):
        return bundle.manifest.rows
    return bundle.manifest.rows * BATCHES_A_CORE * (threads or torch.get_num_threads())


def _with_plans(calls: Calls, bundle: Bundle, plans: list[Artefact], rows: int) -> Calls:
    """The calls with the UNet and the decoder from their plans for this CPU.

    Raises
    ------
    EngineError
        The plans are for another number of rows, CPU or version of torch, or a file was altered.
    """
    spec, found = bundle.manifest.spec, {str(plan.component): plan for plan in plans}
    if rows % bundle.manifest.rows:
        raise EngineError(
            f"the plans of {bundle.folder} are compiled for {bundle.manifest.rows} rows: "
            f"ask for a multiple of them, not {rows}"
        )
    for plan in plans:
        torch_aot.check_cpu(plan, torch_aot.this_cpu(), torch_aot.builder())
    bundle.verify(plans)
    cores = torch_aot.Cores(torch.get_num_threads())

    def opened(part: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch_aot.Plan:
        return torch_aot.Plan(bundle.path(found[part]), cores, found[part].rows or 1, shape, dtype)

    side = spec.latent_size
    return replace(
        calls,
        unet=opened("unet", (spec.latent_channels, side, side), torch.float32),
        decode=opened("vae_decoder", (spec.size, spec.size, 3), torch.uint8),
    )


def compile_for_cpu(bundle: Bundle, progress: Callable[[str], None]) -> list[Artefact]:
    """Compile a torch bundle's UNet and decoder for this machine's CPU.

    The text encoder runs once a prompt and the image encoder seldom: they stay op by op.
    """
    manifest, cpu = bundle.manifest, torch.device("cpu")
    spec, side = manifest.spec, manifest.spec.latent_size
    modules = for_speed(load_modules(bundle.folder, manifest.precision))
    bare = _bare(modules, spec, cpu)
    rows, images = manifest.rows, max(1, manifest.vae_batch // 2)  # two cores share a decoder's batch
    parts = {
        "unet": (
            modules.unet,
            bare.unet,
            rows,
            (
                torch.zeros(rows, spec.unet_in_channels, side, side),
                torch.zeros(rows),
                torch.zeros(rows, spec.max_length, spec.text_dim),
            ),
        ),
        "vae_decoder": (modules.vae, bare.decode, images, (torch.zeros(images, spec.latent_channels, side, side),)),
    }
    place = bundle.folder / "plans" / f"torch-cpu-{manifest.precision}-b{rows}-{spec.size}"
    place.mkdir(parents=True)
    written = []
    for part, (network, call, n, examples) in parts.items():
        progress(f"torch cpu {part}")
        path = place / f"{part}.so"
        torch_aot.compile_call(network, call, examples, path)
        written.append(
            Artefact(
                path=path.relative_to(bundle.folder).as_posix(),
                sha256=digest_file(path),
                bytes=path.stat().st_size,
                kind="plan",
                component=part,
                backend="torch",
                precision=manifest.precision,
                rows=n,
                size=spec.size,
                target=torch_aot.this_cpu(),
                builder=torch_aot.builder(),
            )
        )
    return written


def copy_weights(model: Path, out: Path, precision: str) -> None:
    """The networks' configurations and weights in one precision, so that the bundle is a diffusers folder too."""
    from safetensors.torch import load_file, save_file

    dtype = DTYPES[precision]

    def lowered(part: str, name: str, value: torch.Tensor) -> torch.Tensor:
        kinds = vae_dtypes(dtype) if part == "vae" else {}
        return value.to(kinds.get(name.split(".")[0], dtype)) if value.is_floating_point() else value

    for part in ("text_encoder", "unet", "vae"):
        (out / part).mkdir()
        shutil.copyfile(model / part / "config.json", out / part / "config.json")
        for path in weight_files(model / part)[0]:
            save_file(
                {name: lowered(part, name, value) for name, value in load_file(path).items()},
                out / part / path.name.replace(".fp16", ""),
                metadata={"format": "pt"},
            )
        for index in (model / part).glob("*.safetensors.index.json"):
            shutil.copyfile(index, out / part / index.name)


def torch_device(name: str | None) -> torch.device:
    """The device to run on: as asked, or CUDA where there is one."""
    if name is None:
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"unknown device {name!r}; expected cpu or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EngineError(f"device {name} was asked for, and torch sees no CUDA driver here: use cpu")
    return device


def _no_grad(call: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def wrapped(*arrays: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return call(*arrays)

    return wrapped
