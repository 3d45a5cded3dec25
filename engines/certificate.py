"""The parity certificate: an engine compared with float32 torch by component, and with diffusers' pipeline by image.

Whole images are those that a user's script draws: diffusers loads the folder, with its scheduler's class and settings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from engines.backends.torch_eager import Reference
from engines.bundle import Bundle, read_record
from engines.decoder_parity import DecoderParity, compare_decoders
from engines.draw import Solve, by_diffusers, start_of
from engines.engine import Engine
from engines.errors import EngineError
from engines.manifest import PARITY, Record
from engines.parity import Tick, advice, component_errors, parity_inputs, parity_outputs
from engines.pipeline_spec import Adapter, PipelineSpec, ValidationPrompt
from engines.psnr import psnr
from engines.their_images import their_images

# The largest relative L2 error of a component, and the smallest PSNR of a whole image. E4M3 rounds by up to 1/16, so
# the denoiser of an fp8 bundle may be a tenth off, which is 20 dB; the other components of such a bundle are fp16.
THRESHOLDS = {"fp32": (1e-4, 50.0), "fp16": (1e-2, 30.0), "bf16": (1e-2, 30.0), "fp8": (1e-1, 20.0)}
#: The same where the weights of a text encoder are in 8 bits: its error, and what that does to images.
INT8_TEXT = (5e-2, 20.0)
Classify = Callable[[np.ndarray], np.ndarray]


class ImageParity(BaseModel):
    """Whole images of one class or group: PSNR in dB, and the largest pixel difference in levels of 255."""

    model_config = ConfigDict(frozen=True)

    n: int
    psnr_worst: float
    psnr_mean: float
    largest_difference: int
    label_flips: int | None = None


class Certificate(Record):
    """`parity.json`.

    Attributes
    ----------
    scheduler
        Diffusers' class of the pipeline's scheduler, which drew the images that the engine's are compared with; None in
        certificates from before that.
    own_steps
        Whether the engine's images were drawn by the caller's own steps of that scheduler, and not by diffusers'.
    int8
        Text encoders whose weights are in 8 bits.
    decoder
        The small decoder compared with the VAE's, where there is one: `images` compares images of that decoder then.
    """

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    passed: bool
    failures: list[str]
    precision: str
    ran_on: str
    covers_engine_files: bool = Field(alias="covers_plans")  # the key in every written certificate
    largest_error_allowed: float
    smallest_psnr_allowed: float
    steps: int
    guidance: float
    scheduler: str | None = None
    own_steps: bool = False
    int8: tuple[str, ...] = ()
    components: dict[str, dict[str, float]]
    images: ImageParity
    by_class: dict[str, ImageParity]
    by_group: dict[str, ImageParity]
    decoder: DecoderParity | None = None


def read_certificate(bundle: Bundle) -> Certificate:
    """The certificate of a bundle. Raises as `engines.bundle.read_record`."""
    return read_record(bundle, PARITY, Certificate)


def remedies(certificates: Collection[Certificate], spec: PipelineSpec) -> str:
    """What to do about certificates that failed: of the engine, of its small decoder, or of both."""
    found = []
    if any(set(one.failures) - set(one.decoder.failures() if one.decoder else ()) for one in certificates):
        first = next(iter(certificates))
        found.append(advice(first.precision, first.int8, _in_weights(spec)))
    if any(one.decoder and one.decoder.failures() for one in certificates):
        found.append(
            "the small decoder does not draw what the VAE's does: train it longer, or leave it out (`decoder`)"
        )
    return "; ".join(found)


def _in_weights(spec: PipelineSpec) -> list[Adapter]:
    """What was added to the weights that draw latents; not a decoder."""
    return [one for one in spec.adapters if one.kind != "decoder"]


def certify(
    engine: Engine,
    reference: Reference,
    prompts: Sequence[ValidationPrompt],
    *,
    covers_engine_files: bool = True,
    classify: Classify | None = None,
    solve: Solve = by_diffusers,
    tick: Tick = lambda *_: None,
) -> Certificate:
    """Compare an engine with float32 torch and with diffusers' pipeline.

    Parameters
    ----------
    engine, reference
        Both of the same model; the reference runs torch in float32.
    prompts
        One image is drawn of each, from noise that its position seeds.
    covers_engine_files
        False where the graphs were run but the engine files compiled from them could not be (no GPU here).
    classify
        uint8 images [n, H, W, 3] -> labels [n], to count the images whose label the engine changes.
    solve
        The steps by which the engine is going to draw.
    tick
        Called with the name of each step as it starts, and as the images get on.

    Raises
    ------
    EngineError
        The engine gives NaN, or an image of one colour where diffusers does not; or diffusers cannot draw.
    """
    precision, texts = engine.precision, [p.prompt for p in prompts]
    (largest, smallest), int8 = THRESHOLDS[precision], engine.bundle.manifest.int8
    smallest = min(smallest, INT8_TEXT[1]) if int8 else smallest
    tick("real input for the certificate")
    inputs = parity_inputs(reference, texts)
    exact = parity_outputs(reference, inputs, "float32 torch", tick)
    start, drawing = start_of(engine.spec, len(texts)), f"diffusers: images of {len(texts)} prompts"
    tick(drawing)
    theirs = their_images(
        reference.model, reference.spec, texts, start, engine.device, lambda k, n: tick(drawing, f"step {k} of {n}")
    )
    expected = theirs.images
    if engine.device.type == "cpu":
        engine.one_at_a_time()
    remedy = advice(precision, int8, _in_weights(engine.spec))
    name = f"this engine ({engine.backend} {precision})"
    ours = parity_outputs(engine, inputs, name, tick, texts, start, solve)
    components = component_errors(ours, exact, remedy)
    got = ours.images
    for i in np.flatnonzero(is_constant(got) & ~is_constant(expected)):
        raise EngineError(
            f"this engine draws one flat colour for {texts[i]!r} in {precision}, and diffusers does not: {remedy}"
        )
    flips = None if classify is None else classify(expected) != classify(got)

    def split(names: Sequence[str | None]) -> dict[str, ImageParity]:
        chosen = {name: np.array([n == name for n in names]) for name in sorted({n for n in names if n is not None})}
        return {
            name: _images(got[these], expected[these], None if flips is None else flips[these])
            for name, these in chosen.items()
        }

    images, allowed = _images(got, expected, flips), partial(allowed_error, engine.spec.denoiser, precision, int8=int8)
    decoder = None
    if engine.spec.small_decoder:
        tick("the small decoder compared with the VAE's")
        decoder = compare_decoders(
            engine.decode(theirs.latents).cpu().numpy(), theirs.by_vae, [p.group for p in prompts]
        )
        engine.release()
    failures = [
        f"{name} on {kind} input: relative error {error:.2e} > {allowed(name):.0e}"
        for name, errors in components.items()
        for kind, error in errors.items()
        if error > allowed(name)
    ]
    if images.psnr_worst < smallest:
        failures.append(
            f"whole images compared with diffusers': worst PSNR {images.psnr_worst:.1f} dB < {smallest:.0f} dB"
        )
    failures += decoder.failures() if decoder else []
    return Certificate(
        passed=not failures,
        failures=failures,
        precision=precision,
        covers_plans=covers_engine_files,
        ran_on=f"{engine.backend} on {_device_name(engine.device)}",
        largest_error_allowed=largest,
        smallest_psnr_allowed=smallest,
        steps=start.steps,
        guidance=start.guidance,
        scheduler=engine.spec.scheduler.get("_class_name"),
        own_steps=ours.by_own_steps,
        int8=int8,
        components=components,
        images=images,
        by_class=split([p.label for p in prompts]),
        by_group=split([p.group for p in prompts]),
        decoder=decoder,
    )


def allowed_error(denoiser: str, precision: str, component: str, int8: Sequence[str] = ()) -> float:
    """The largest relative L2 error that a component may have; in fp8 that is larger for the denoiser alone.

    Parameters
    ----------
    component
        A text encoder, the denoiser or a half of the VAE, as `engines.parity` names them.
    int8
        Text encoders whose weights are in 8 bits.
    """
    if component in int8:
        return max(THRESHOLDS[precision][0], INT8_TEXT[0])
    return THRESHOLDS["fp16" if precision == "fp8" and component != denoiser else precision][0]


def is_constant(images: np.ndarray) -> np.ndarray:
    """Which uint8 images [n, H, W, 3] are of one colour, as NaN decodes to: bool [n]."""
    flat = images.reshape(len(images), -1, images.shape[-1])
    return np.asarray((flat.max(axis=1) == flat.min(axis=1)).all(axis=1))


def _images(got: np.ndarray, expected: np.ndarray, flips: np.ndarray | None) -> ImageParity:
    """Parity of two stacks of images, and of their labels where `flips` says which have changed."""
    each = [psnr(*pair) for pair in zip(got, expected, strict=True)]
    difference: Any = np.abs(got.astype(np.int16) - expected.astype(np.int16)).max()
    return ImageParity(
        n=len(got),
        psnr_worst=round(min(each), 2),
        psnr_mean=round(float(np.mean(each)), 2),
        largest_difference=int(difference),
        label_flips=None if flips is None else int(flips.sum()),
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
