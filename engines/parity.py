"""What two engines of one model make of the same input, one network after the other: the numbers of a certificate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
import torch

from engines.backends.torch_eager import Reference
from engines.calls import TEXT_BATCH
from engines.conditioning import Conditioning, gauss, moved
from engines.draw import Solve, Start, by_diffusers, draw_latents, inpainting_channels, with_empty
from engines.engine import Engine
from engines.errors import EngineError
from engines.pipeline_spec import Adapter
from engines.text import read_each

REAL = 4  # prompts of which real input is made
REAL_STEPS = 2
DECODER = "vae_decoder"


class Tick(Protocol):
    """Told of each step as it starts, and again with how far the step is."""

    def __call__(self, step: str, so_far: str = "") -> None: ...


Pair = tuple[torch.Tensor, torch.Tensor]  # for random and for real input


@dataclass(frozen=True)
class ParityInputs:
    """Input for each network: random, and what the reference makes of real prompts."""

    ids: Pair
    noisy: Pair
    times: torch.Tensor
    words: tuple[Conditioning, Conditioning]
    latents: Pair
    images: Pair


@dataclass(frozen=True)
class ParityOutputs:
    """What an engine makes of the input, and its images of the prompts, uint8 [n, H, W, 3], where there are any.

    Attributes
    ----------
    components
        By part, as the family names it.
    """

    components: dict[str, Pair]
    images: np.ndarray
    by_own_steps: bool = False


def parity_inputs(reference: Reference, prompts: Sequence[str]) -> ParityInputs:
    """The input, of fixed random numbers and of the first prompts."""
    spec, few = reference.spec, list(prompts[:REAL])
    noise = np.random.Generator(np.random.Philox(20240501))
    real_ids = reference.tokenize(few)
    rows, side = len(real_ids), spec.latent_size
    random_ids = torch.cat([_random_like(ids, noise) for ids in real_ids.split(list(spec.tokens.values()), dim=1)], 1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(noise.standard_normal(shape, dtype=np.float32))

    latents = normal(rows, spec.latent_channels, side, side)
    noisy = normal(rows, spec.unet_in_channels, side, side)
    times = torch.linspace(1, spec.num_train_timesteps - 1, rows)
    words = moved(reference.encode_tokens(real_ids), "cpu")
    text = with_empty(reference, few)
    drawn = reference.decode(draw_latents(reference, text, REAL_STEPS))
    static = torch.from_numpy(noise.integers(0, 256, tuple(drawn.shape), dtype=np.uint8))
    real_latents = reference.encode(drawn).cpu()
    return ParityInputs(
        ids=(random_ids, real_ids),
        noisy=(noisy, noisy),
        times=times,
        words=(gauss(spec.conditioning, rows, generator=torch.Generator().manual_seed(1)), words),
        latents=(latents, real_latents),
        images=(static, drawn.cpu()),
    )


def _random_like(ids: torch.Tensor, noise: np.random.Generator) -> torch.Tensor:
    """Random token ids of one tokenizer, which begin as real ones do: int64 [n, tokens]."""
    rest = noise.integers(0, int(ids.max()) + 1, (len(ids), ids.shape[1] - 1))
    return torch.from_numpy(np.concatenate([np.asarray(ids[:, :1]), rest], axis=1))


def parity_outputs(
    engine: Engine,
    inputs: ParityInputs,
    name: str,
    tick: Tick = lambda *_: None,
    prompts: Sequence[str] = (),
    start: Start | None = None,
    solve: Solve = by_diffusers,
) -> ParityOutputs:
    """What an engine makes of the input and of prompts; each network is used to its end before the next one.

    Parameters
    ----------
    name
        Of the engine, for the names of the steps.
    tick
        Called with the name of each step as it starts, and as the images get on.
    prompts, start
        Images to draw, and where they start; without a start none are drawn.
    solve
        How they are drawn; where it does not have the steps of the pipeline's scheduler, diffusers' own are taken.
    """
    here = engine.device

    def both(call: Callable[..., torch.Tensor], *pairs: Pair) -> Pair:
        first, second = (call(*[pair[i].to(here) for pair in pairs]).cpu() for i in (0, 1))
        return first, second

    def denoised(latents: torch.Tensor, times: torch.Tensor, words: Conditioning) -> torch.Tensor:
        return engine.denoise(latents.to(here), times.to(here), moved(words, here)).cpu()

    extra = None if start is None else inpainting_channels(engine, len(prompts))
    tick(f"{name}: {', '.join(part.replace('_', ' ') for part in engine.spec.text_encoders)}")
    words = [text_outputs(engine, ids) for ids in inputs.ids]
    text = with_empty(engine, prompts)
    tick(f"{name}: {engine.spec.denoiser}")
    random, real = (denoised(x, inputs.times, words) for x, words in zip(inputs.noisy, inputs.words, strict=True))
    latents, own = None, False
    if start is not None:
        drawing = f"{name}: images of {len(prompts)} prompts"
        tick(drawing)
        so_far = partial(tick, drawing)
        latents = solve(engine, text, extra, start, so_far)
        own = latents is not None and solve is not by_diffusers
        latents = by_diffusers(engine, text, extra, start, so_far) if latents is None else latents
    tick(f"{name}: vae")
    decode = engine.decode_exact if isinstance(engine, Reference) else engine.decode
    decoded = both(decode, inputs.latents)
    images = np.empty(0, np.uint8) if latents is None else engine.decode(latents).cpu().numpy()
    encoded = both(engine.encode, inputs.images)
    engine.release()
    components = {
        **{part: (words[0][part], words[1][part]) for part in engine.spec.text_encoders},
        PurePosixPath(engine.spec.denoiser).name: (random, real),  # that of a base lies in a folder of its own
        DECODER: decoded,
        "vae_encoder": encoded,
    }
    return ParityOutputs(components, images, own)


@torch.inference_mode()
def text_outputs(engine: Engine, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each text encoder gives, all its outputs in one tensor [n, outputs], by part.

    Of token ids, int64 [n, max_length], at most `TEXT_BATCH` rows. One encoder may give a hundred times larger numbers
    than another: together they would hide the other's errors.
    """
    rows = len(ids)
    filled = torch.cat([ids, ids[-1:].expand(TEXT_BATCH - rows, -1)])
    found = read_each(engine.spec, engine.calls.encoders, filled.to(engine.device))
    return {
        part: torch.cat([value[:rows].flatten(1).float().cpu() for value in given.values()], dim=1)
        for part, given in found.items()
    }


def component_errors(ours: ParityOutputs, theirs: ParityOutputs, remedy: str) -> dict[str, dict[str, float]]:
    """Relative L2 error of each component, on random and on real input; remedy: what to do, as `advice` says it.

    Raises
    ------
    EngineError
        A component of the engine gives NaN or infinity.
    """

    def error(got: torch.Tensor, exact: torch.Tensor) -> float:
        return float((got.double() - exact.double()).norm() / exact.double().norm().clamp_min(1e-12))

    def decoder_error(got: torch.Tensor, exact: torch.Tensor) -> float:
        # Rounding to 8 bits is the interface, not an error: only what is beyond half a level counts.
        beyond = ((got.double() - exact.double()).abs() - 0.5).clamp_min(0)
        return float(beyond.norm() / exact.double().norm().clamp_min(1e-12))

    errors = {}
    for name, got in ours.components.items():
        measure = decoder_error if name == DECODER else error
        random, real = (measure(*pair) for pair in zip(got, theirs.components[name], strict=True))
        if not np.isfinite([random, real]).all():
            raise EngineError(f"the {name} of this engine gives NaN or infinity: {remedy}")
        errors[name] = {"random": random, "real": real}
    return errors


def advice(precision: str, int8: Sequence[str] = (), adapters: Sequence[Adapter] = ()) -> str:
    """What to do about an engine that differs from its model.

    Parameters
    ----------
    int8
        Text encoders whose weights are in 8 bits.
    adapters
        What was added to the model's weights.
    """
    remedies = [f"keep the weights of {', '.join(int8)} as they are: leave `int8_t5` out"] if int8 else []
    if precision != "fp32":
        remedies.append(f"build with precision {'bf16 or ' if precision == 'fp16' else ''}fp32")
    fused = ", ".join(one.file + ("" if one.scale is None else f" at {one.scale:g}") for one in adapters)
    added = f", into whose weights {fused} went (give a smaller scale, or leave it out)" if fused else ""
    exact = f"float32 is as exact as an engine can be, so the fault is in the model{added} or in this program"
    return ", or ".join(remedies) or exact
