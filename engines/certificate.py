"""The parity certificate: an engine against float32 torch, part by part and as whole images, per class and group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from engines.backends.torch_eager import Reference
from engines.bundle import PARITY
from engines.engine import Engine
from engines.errors import EngineError
from engines.pipeline_spec import PipelineSpec, ValidationPrompt

# The largest relative L2 error of a component, and the smallest PSNR of a whole image. E4M3 rounds by up to 1/16, so
# fp8 is allowed a tenth, which is 20 dB; only its UNet is: the other parts of such a bundle are fp16.
THRESHOLDS = {"fp32": (1e-4, 50.0), "fp16": (1e-2, 30.0), "bf16": (1e-2, 30.0), "fp8": (1e-1, 20.0)}
IDENTICAL_DB = 99.0
STEPS, GUIDANCE = 8, 3.0
Classify = Callable[[np.ndarray], np.ndarray]


class ImageParity(BaseModel):
    """Whole images of one class or group: the worst PSNR, and the largest pixel difference in levels of 255."""

    model_config = ConfigDict(frozen=True)

    n: int
    psnr_worst: float
    psnr_mean: float
    largest_difference: int
    label_flips: int | None = None


class Certificate(BaseModel):
    """`parity.json`."""

    model_config = ConfigDict(frozen=True)

    passed: bool
    failures: list[str]
    precision: str
    ran_on: str
    covers_plans: bool
    largest_error_allowed: float
    smallest_psnr_allowed: float
    steps: int
    guidance: float
    components: dict[str, dict[str, float]]
    images: ImageParity
    by_class: dict[str, ImageParity]
    by_group: dict[str, ImageParity]


def read_certificate(folder: Path) -> Certificate:
    """The certificate in a bundle's folder.

    Raises
    ------
    EngineError
        There is none, or it cannot be read.
    """
    path = folder / PARITY
    try:
        return Certificate.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise EngineError(f"{path} is missing or altered: build the bundle again with `gen build-engine`") from error


def certify(
    engine: Engine,
    reference: Reference,
    prompts: Sequence[ValidationPrompt],
    *,
    covers_plans: bool = True,
    classify: Classify | None = None,
    tick: Callable[[str], None] = lambda _: None,
) -> Certificate:
    """Compare an engine with the float32 reference.

    Parameters
    ----------
    engine, reference
        Of the same model; the reference runs torch in float32.
    prompts
        Real prompts, one image each, seeded by their position.
    covers_plans
        False where the graphs were run but their compiled plans could not be (no GPU here).
    classify
        uint8 images [n, H, W, 3] -> labels [n]: counts the images whose label the engine changes.

    Raises
    ------
    EngineError
        The engine gives NaN, or an image of one colour where the reference does not.
    """
    largest, smallest = THRESHOLDS[engine.precision]
    tick("components")
    components = component_errors(engine, reference, [p.prompt for p in prompts])
    for name, errors in components.items():
        if not all(np.isfinite(e) for e in errors.values()):
            raise EngineError(
                f"the {name} of this engine gives NaN or infinity in {engine.precision}: "
                "build with --precision bf16 or fp32"
            )
    tick("whole images")
    expected = draw(reference, [p.prompt for p in prompts])
    got = draw(engine, [p.prompt for p in prompts])
    for i in np.flatnonzero(is_constant(got) & ~is_constant(expected)):
        raise EngineError(
            f"this engine draws one flat colour for {prompts[int(i)].prompt!r} and float32 torch does not: "
            f"{engine.precision} overflows in this model; build with --precision bf16 or fp32"
        )
    flips = None if classify is None else classify(expected) != classify(got)
    everything = np.arange(len(prompts))
    images = _images(got, expected, everything, flips)
    allowed = {name: allowed_error(name, engine.precision) for name in components}
    failures = [
        f"{name} on {kind} input: relative error {error:.2e} > {allowed[name]:.0e}"
        for name, errors in components.items()
        for kind, error in errors.items()
        if error > allowed[name]
    ]
    if images.psnr_worst < smallest:
        failures.append(f"whole images: worst PSNR {images.psnr_worst:.1f} dB < {smallest:.0f} dB")

    def split(of: Callable[[ValidationPrompt], str | None]) -> dict[str, ImageParity]:
        names = sorted({name for p in prompts if (name := of(p)) is not None})
        rows = {name: np.array([i for i, p in enumerate(prompts) if of(p) == name]) for name in names}
        return {name: _images(got, expected, rows[name], flips) for name in names}

    return Certificate(
        passed=not failures,
        failures=failures,
        precision=engine.precision,
        covers_plans=covers_plans,
        ran_on=f"{engine.backend} on {_device_name(engine.device)}",
        largest_error_allowed=largest,
        smallest_psnr_allowed=smallest,
        steps=STEPS,
        guidance=GUIDANCE,
        components=components,
        images=images,
        by_class=split(lambda p: p.label),
        by_group=split(lambda p: p.group),
    )


def allowed_error(component: str, precision: str) -> float:
    """The largest relative L2 error that a component may have."""
    return THRESHOLDS["fp16" if precision == "fp8" and component != "unet" else precision][0]


def component_errors(engine: Engine, reference: Reference, prompts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Relative L2 error of each of the four calls, on random and on real input."""
    spec, n = reference.spec, 4
    noise = np.random.Generator(np.random.Philox(20240501))
    side = spec.latent_size
    real_ids = reference.tokenize(list(prompts[:n]))
    rows = len(real_ids)
    random_ids = torch.from_numpy(
        np.concatenate(
            [np.asarray(real_ids[:, :1]), noise.integers(0, int(real_ids.max()) + 1, (rows, spec.max_length - 1))],
            axis=1,
        )
    )

    def gauss(*shape: int) -> torch.Tensor:
        return torch.from_numpy(noise.standard_normal(shape, dtype=np.float32))

    latents = gauss(rows, spec.latent_channels, side, side)
    unet_in = gauss(rows, spec.unet_in_channels, side, side)
    times = torch.linspace(1, spec.num_train_timesteps - 1, rows)
    words, images = reference.encode_text(real_ids).cpu(), draw(reference, list(prompts[:n]), steps=2)
    static = torch.from_numpy(noise.integers(0, 256, images.shape, dtype=np.uint8))
    drawn = torch.from_numpy(images)
    real_latents = reference.encode(drawn.to(reference.device)).cpu()

    def error(call: Callable[[Engine], Callable[..., torch.Tensor]], *arrays: torch.Tensor) -> float:
        ours = call(engine)(*[a.to(engine.device) for a in arrays]).cpu().double()
        theirs = call(reference)(*[a.to(reference.device) for a in arrays]).cpu().double()
        return float((ours - theirs).norm() / theirs.norm().clamp_min(1e-12))

    def decoder_error(latents: torch.Tensor) -> float:
        # Rounding to 8 bits is the interface, not an error: only what lies beyond half a level counts.
        ours = engine.decode(latents.to(engine.device)).cpu().double()
        exact = reference.decode_exact(latents.to(reference.device)).cpu().double()
        return float(((ours - exact).abs() - 0.5).clamp_min(0).norm() / exact.norm().clamp_min(1e-12))

    return {
        "text_encoder": {
            "random": error(lambda e: e.encode_text, random_ids),
            "real": error(lambda e: e.encode_text, real_ids),
        },
        "unet": {
            "random": error(
                lambda e: e.unet, unet_in, times, torch.randn(words.shape, generator=torch.Generator().manual_seed(1))
            ),
            "real": error(lambda e: e.unet, unet_in, times, words),
        },
        "vae_decoder": {"random": decoder_error(latents), "real": decoder_error(real_latents)},
        "vae_encoder": {"random": error(lambda e: e.encode, static), "real": error(lambda e: e.encode, drawn)},
    }


def draw(engine: Engine, prompts: Sequence[str], steps: int = STEPS, guidance: float = GUIDANCE) -> np.ndarray:
    """Images of prompts by DDIM with guidance, noise from each prompt's position: uint8 [n, H, W, 3]."""
    from diffusers import DDIMScheduler

    spec = engine.spec
    scheduler = DDIMScheduler.from_config(spec.scheduler)
    scheduler.set_timesteps(steps)
    shape = (spec.latent_channels, spec.latent_size, spec.latent_size)
    noise = [
        np.random.Generator(np.random.Philox([7, i])).standard_normal(shape, dtype=np.float32)
        for i in range(len(prompts))
    ]
    latents = torch.from_numpy(np.stack(noise)).to(engine.device) * scheduler.init_noise_sigma
    words = engine.encode_text(engine.tokenize([*prompts, *[""] * len(prompts)]))
    extra = _inpainting_channels(engine, len(prompts))
    for time in scheduler.timesteps:
        rows = torch.cat([latents, extra], dim=1) if extra is not None else latents
        out = engine.unet(torch.cat([rows, rows]), time.expand(2 * len(rows)), words)
        told, free = out.chunk(2)
        latents = scheduler.step(free + guidance * (told - free), time, latents).prev_sample
    return engine.decode(latents).cpu().numpy()


def is_constant(images: np.ndarray) -> np.ndarray:
    """Which uint8 images [n, H, W, 3] are of one colour: what NaN decodes to."""
    flat = images.reshape(len(images), -1, images.shape[-1])
    return np.asarray((flat.max(axis=1) == flat.min(axis=1)).all(axis=1))


def psnr(got: np.ndarray, expected: np.ndarray) -> float:
    """Peak signal to noise ratio of uint8 images in dB, at most 99."""
    error = float(np.mean((got.astype(np.float64) - expected.astype(np.float64)) ** 2))
    return IDENTICAL_DB if error == 0 else min(IDENTICAL_DB, 10 * float(np.log10(255.0**2 / error)))


def _inpainting_channels(engine: Engine, n: int) -> torch.Tensor | None:
    """Mask and masked latents of a grey image with a hole, where the UNet expects them (9 channels)."""
    spec: PipelineSpec = engine.spec
    if spec.unet_in_channels == spec.latent_channels:
        return None
    grey = torch.full((n, spec.size, spec.size, 3), 128, dtype=torch.uint8, device=engine.device)
    mask = torch.zeros((n, 1, spec.latent_size, spec.latent_size), device=engine.device)
    mask[:, :, spec.latent_size // 4 : -(spec.latent_size // 4), spec.latent_size // 4 : -(spec.latent_size // 4)] = 1
    return torch.cat([mask, engine.encode(grey)], dim=1)


def _images(got: np.ndarray, expected: np.ndarray, rows: np.ndarray, flips: np.ndarray | None) -> ImageParity:
    each = [psnr(got[i], expected[i]) for i in rows]
    difference: Any = np.abs(got[rows].astype(np.int16) - expected[rows].astype(np.int16)).max()
    return ImageParity(
        n=len(rows),
        psnr_worst=round(min(each), 2),
        psnr_mean=round(float(np.mean(each)), 2),
        largest_difference=int(difference),
        label_flips=None if flips is None else int(flips[rows].sum()),
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
