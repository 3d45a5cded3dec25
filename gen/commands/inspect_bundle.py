"""`gen inspect`: what an engine bundle holds, whether its files are whole, and its parity certificate; or a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dermforge.common import console
from dermforge.common.clear_names import in_clear
from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.id_ranges import in_words
from gen.commands.model_options import PartsFrom, PredictionType, Variant

if TYPE_CHECKING:
    from dermforge.common.use_certificate import UseCertificate
    from engines import Bundle
    from engines.certificate import Certificate, ImageParity
    from engines.decoder_parity import DecoderParity


def inspect_bundle(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder; or a pipeline folder or .safetensors file")],
    variant: Variant = None,
    prediction_type: PredictionType = None,
    parts_from: PartsFrom = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout")] = False,
) -> None:
    """Show a bundle's contents, files and parity certificate. Every file is hashed.

    Exit status 1 if the certificate failed. Of a model that is not built yet: its family, parts and weights.

    Example: gen inspect ./engine
    """
    from engines import read_bundle
    from engines.bundle import find_record, read_record
    from engines.certificate import Certificate, read_certificate
    from engines.manifest import PARITY_BASE, TIMINGS, Record
    from engines.source import Source
    from engines.use import read_use
    from gen.commands.inspect_model import inspect_model, is_model
    from gen.diffusion.solvers import check_few_steps

    if is_model(bundle):
        inspect_model(Source(bundle, variant, prediction_type, parts_from), json)
        return
    if variant or prediction_type or parts_from:
        raise UserError(
            f"{bundle} is no model but an engine bundle: --variant, --prediction-type and --parts-from are for models"
        )
    found = read_bundle(bundle)
    check_few_steps(found.manifest.spec)
    found.verify()
    certificate = read_certificate(found)
    base = read_record(found, PARITY_BASE, Certificate) if found.manifest.base else None
    find_record(found, TIMINGS, Record)
    used = read_use(found)
    if json:
        parts: dict[str, Any] = {"digest": found.digest, "parity": certificate.model_dump()}
        parts["use"] = used[0].model_dump(mode="json") | {"digest": used[1]} if used else None
        if base:
            parts["parity_base"] = base.model_dump()
        console.print_json(found.manifest.model_dump(mode="json") | parts)
    else:
        console.out.print(_contents(found))
        console.out.print(_components(certificate, found.manifest.spec.denoiser))
        console.out.print(_images(certificate))
        if certificate.decoder is not None:
            console.out.print(_decoder(certificate.decoder))
        console.out.print(compared_with(certificate), soft_wrap=True)
        if base:
            console.out.print("\nThe base, which takes the first steps:")
            console.out.print(_components(base, found.manifest.spec.denoiser))
            console.out.print(_images(base))
        for line in use_lines(used):
            console.out.print(line, soft_wrap=True)
        if not certificate.covers_engine_files:
            console.out.print("The engine files were not run themselves: the machine of the build had no such GPU.")
    if failures := [why for one in (certificate, base) if one for why in one.failures]:
        raise CheckFailed(f"{bundle} failed its parity certificate: {'; '.join(failures)}")


def compared_with(certificate: Certificate) -> str:
    """What drew the images that the engine's were compared with, and whose steps drew the engine's."""
    if certificate.scheduler is None:
        return "The images were compared with the model's own networks, by DDIM: the bundle is of a former version."
    theirs = f"The images were compared with those of diffusers' pipeline, by its {certificate.scheduler}"
    if certificate.own_steps:
        return f"{theirs}; the engine's were drawn by the steps of gen sample."
    return f"{theirs}, whose steps gen sample does not have: a plan draws by the solver that it names."


def use_lines(found: tuple[UseCertificate, str] | None) -> list[str]:
    """The certificate of use in words: its verdict, what was compared, and by which settings."""
    if found is None:
        return ["Certificate of use: none (`evalsuite use` compares the bundle's images with its teacher's)."]
    certificate, digest = found
    sides = (("student", certificate.student), ("teacher", certificate.teacher))
    drawn = [
        f"  {name}: {part.images} images"
        + (f" of the bundle {', '.join(one[:12] for one in part.bundles)}" if part.bundles else "")
        + "".join(f"; {', '.join(f'{k} {v}' for k, v in sorted(own.items()))}" for own in part.settings)
        for name, part in sides
    ]
    leaks = [f"  leakage was allowed: {text}" for text in certificate.leakage]
    return [f"Certificate of use ({digest[:12]}): {certificate.sentence()}.", *drawn, *leaks]


def _contents(bundle: Bundle) -> Table:
    manifest = bundle.manifest
    spec = manifest.spec
    # A CPU's target lists all its instruction sets after its architecture.
    targets = sorted({f"{(a.target or '').partition(' ')[0]} ({a.builder})" for a in bundle.engine_files().values()})
    contents: dict[str, Any] = {
        "digest": bundle.digest,
        "model": manifest.model_digest,
        "backend": f"{manifest.backend}, {manifest.precision}",
        "engine files": f"for {', '.join(targets)}" if targets else "none",
        "weights in 8 bits": ", ".join(manifest.int8) or "none",
        "base": f"model {manifest.base.model_digest}, for the first steps" if manifest.base else "none",
        "size": f"{spec.size} px, latents {spec.latent_channels}x{spec.latent_size}x{spec.latent_size}",
        "batches": f"{manifest.rows} rows a denoiser call, {manifest.vae_batch} images a decoder call",
        "prediction": spec.prediction_type,
        "classes": ", ".join(spec.classes or []) or "not named",
        "groups": ", ".join(spec.groups or []) or "not named",
        "lineage": in_words(spec.lineage)
        + (", phantom" if spec.phantom else "")
        + (f", {len(names)} with their names in clear" if (names := in_clear(spec.lineage)) else ""),
        "weights": "of the pipeline folder" if spec.source is None else spec.source.in_words(),
        "adapters": "; ".join(f"{a.file} {'' if a.scale is None else f'x {a.scale:g}'}".strip() for a in spec.adapters)
        or "none",
        "files": f"{len(manifest.artefacts)}, {sum(a.bytes for a in manifest.artefacts) / 1e6:.1f} MB, all as recorded",
    }
    table = Table(show_header=False, title=str(bundle.folder), title_justify="left")
    for name, value in contents.items():
        table.add_row(name, str(value))
    return table


def _components(certificate: Certificate, denoiser: str) -> Table:
    from engines.certificate import allowed_error

    verdict = Text("passed") if certificate.passed else Text("FAILED", "red")
    table = Table(
        "component",
        "random input",
        "real input",
        "allowed",
        title_justify="left",
        title=Text.assemble("Relative error against float32 torch: ", verdict, f" ({certificate.ran_on})"),
    )
    for name, errors in certificate.components.items():
        found = (
            errors["random"],
            errors["real"],
            allowed_error(denoiser, certificate.precision, name, certificate.int8),
        )
        table.add_row(name, *(f"{error:.1e}" for error in found))
    return table


def _images(certificate: Certificate) -> Table:
    table = Table(
        "images",
        "n",
        "worst PSNR",
        "mean PSNR",
        "largest difference",
        "label flips",
        title_justify="left",
        title=f"Whole images from the same seeds, allowed {certificate.smallest_psnr_allowed:.0f} dB",
    )

    def add(name: str, part: ImageParity) -> None:
        flips = "not checked" if part.label_flips is None else str(part.label_flips)
        table.add_row(
            name,
            str(part.n),
            f"{part.psnr_worst:.1f} dB",
            f"{part.psnr_mean:.1f} dB",
            f"{part.largest_difference}/255",
            flips,
        )

    add("all", certificate.images)
    for name, part in (certificate.by_class | certificate.by_group).items():
        add(name, part)
    return table


def _decoder(parity: DecoderParity) -> Table:
    table = Table(
        "tone of images",
        "n",
        "mean change",
        "largest",
        title_justify="left",
        title=f"The small decoder compared with the VAE's: PSNR {parity.psnr_mean:.1f} dB, allowed "
        f"{parity.smallest_psnr_mean:.0f}; worst {parity.psnr_worst:.1f}, allowed {parity.smallest_psnr_worst:.0f}; "
        f"mean change of tone allowed {parity.largest_tone_shift:g} degrees of ITA",
    )
    for name, change in parity.tone.items():
        table.add_row(name, str(change.n), f"{change.mean:+.2f}", f"{change.largest:+.2f}")
    return table
