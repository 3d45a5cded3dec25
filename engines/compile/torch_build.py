"""The torch backend's files: weights in one precision, and engine files for this machine's CPU by torch's Inductor.

An engine file for a CPU is a shared library with torch's C interface for compiled models; `engines.backends.torch_aot`
runs it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container, Iterable
from pathlib import Path

import torch
from torch import nn

from engines.backends import torch_aot
from engines.backends.torch_compiled import for_speed
from engines.backends.torch_eager import bare_calls, load_modules
from engines.bundle import Bundle
from engines.checkpoint.skeleton import parts_of
from engines.checkpoint.weights import copy_part, load_part, write_weights
from engines.compile.precision import DTYPES, vae_dtypes
from engines.conditioning import empty
from engines.errors import EngineError
from engines.manifest import Artefact, describe_file
from engines.models.tiny import SMALL
from engines.silence import quiet
from engines.small_decoder import has_small_decoder

# Weights folded and packed for this CPU's instructions (AMX where it has them); one thread a call.
OPTIONS = {"freezing": True, "cpp.threads": 1}


class Held(nn.Module):
    """A call with the network whose weights it reads, as `torch.export` needs them."""

    def __init__(self, network: nn.Module, call: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
        return self.call(*arrays).contiguous()  # the runner reads a result as contiguous memory


def require_compiler() -> None:
    """Refuse to compile where nothing can, before anything is built.

    Raises
    ------
    EngineError
        There is no C++ compiler.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise EngineError(
            "engine files for a CPU need a C++ compiler and none is here: install g++ (running the bundle needs none), "
            "or leave out the target"
        ) from error


def compile_call(
    network: nn.Module, call: Callable[..., torch.Tensor], examples: tuple[torch.Tensor, ...], path: Path
) -> None:
    """Compile a function of tensors into a shared library, for the static shapes of the examples.

    Parameters
    ----------
    network
        The network whose weights the function reads: they go into the file.
    """
    from torch._inductor import aot_compile
    from torch._inductor.utils import fresh_cache

    with torch.no_grad(), quiet(), fresh_cache():  # no executable of an earlier build is taken from a shared folder
        program = torch.export.export(Held(network, call), examples)
        shutil.copyfile(str(aot_compile(program.module(), examples, options=OPTIONS)), path)


def compile_for_cpu(bundle: Bundle, progress: Callable[[str], None]) -> list[Artefact]:
    """Compile a torch bundle's UNet and decoder for this machine's CPU.

    The other two stay operation by operation: the text encoder runs once a prompt, and the image encoder seldom.
    """
    manifest, cpu = bundle.manifest, torch.device("cpu")
    spec, side = manifest.spec, manifest.spec.latent_size
    modules = for_speed(load_modules(bundle.folder, manifest.precision, int8=manifest.int8))
    bare = bare_calls(modules, spec, cpu)
    rows, images = manifest.rows, max(1, manifest.vae_batch // 2)  # two cores share a decoder's batch
    inputs = (
        torch.zeros(rows, spec.unet_in_channels, side, side),
        torch.zeros(rows),
        *empty(spec.conditioning, rows).values(),
    )
    latents = torch.zeros(images, spec.latent_channels, side, side)
    place = bundle.folder / "plans" / f"torch-cpu-{manifest.precision}-b{rows}-{spec.size}"
    place.mkdir(parents=True)

    def write(part: str, network: nn.Module, call: Callable[..., torch.Tensor], *examples: torch.Tensor) -> Artefact:
        progress(f"torch cpu {part}")
        path = place / f"{part}.so"
        compile_call(network, call, examples, path)
        return describe_file(bundle.folder, path).model_copy(
            update={
                "component": part,
                "precision": manifest.precision,
                "rows": len(examples[0]),
                "size": spec.size,
                "target": torch_aot.this_cpu(),
                "builder": torch_aot.builder(),
            }
        )

    denoiser = write(spec.denoiser, modules.denoiser, bare.denoise, *inputs)
    return [denoiser, write("vae_decoder", modules.vae, bare.decode, latents)]


def copy_weights(
    model: Path, out: Path, precision: str, parts: Iterable[str] | None = None, int8: Container[str] = ()
) -> None:
    """Copy the networks' configurations and weights in one precision; the bundle is a diffusers folder as well.

    Parameters
    ----------
    parts
        Some of the networks; None for all.
    int8
        Networks whose weights go into 8 bits; diffusers does not read those.
    """
    dtype = DTYPES[precision]

    every = (*parts_of(model), *([SMALL] if has_small_decoder(model) else []))
    for part in every if parts is None else parts:
        kinds = vae_dtypes(dtype) if part == "vae" else {}

        def lowered(name: str, value: torch.Tensor, kinds: dict[str, torch.dtype] = kinds) -> torch.Tensor:
            return value.to(kinds.get(name.split(".")[0], dtype)) if value.is_floating_point() else value

        if part in int8:
            (out / part).mkdir(exist_ok=True)
            shutil.copyfile(model / part / "config.json", out / part / "config.json")
            weights = load_part(model, part, int8=True).state_dict()
            write_weights(out, part, {name: lowered(name, value) for name, value in weights.items()})
        else:
            copy_part(model, out, part, lowered)
