"""`evalsuite use`: do the images of a student serve as its teacher's do?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dermforge.common.atomic import write_whole
from dermforge.common.command_line import typed
from dermforge.common.console import print_json, progress, say, track
from dermforge.common.errors import CheckFailed
from dermforge.common.output_folder import claim
from dermforge.common.use_certificate import USE
from evalsuite.commands import options
from evalsuite.images.features.names import SPECS
from evalsuite.study.names import Preset

if TYPE_CHECKING:
    from evalsuite.training.recipe import Recipe
    from evalsuite.use.measure_use import UseReport


def use(
    teacher: Annotated[Path, typer.Option(help="Shards of the generator that is to be replaced, at its own settings.")],
    student: Annotated[Path, typer.Option(help="Shards of the other generator or settings, by the same plan.")],
    real: Annotated[Path, typer.Option(help="Real images: a folder with train/, validation/ and test/.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for certificate, tables and page.")] = Path("use"),
    reference: Annotated[
        Path | None, typer.Option(help="Real images that recall and coverage look for. [default: those of test/]")
    ] = None,
    tuned_on: Annotated[
        Path | None, typer.Option(help="Real images that the generator was tuned on. [default: those of train/]")
    ] = None,
    margins: Annotated[
        Path | None, typer.Option(help='JSON of margins, e.g. {"gain": [-0.02, 0.02]}, named before the comparison.')
    ] = None,
    extractor: Annotated[
        list[str], typer.Option(help=f"Features that recognise and compare; may be given again: {SPECS}.")
    ] = ["colour-structure"],  # noqa: B006
    preset: Annotated[
        Preset,
        typer.Option(
            help="Classifier of the gain: laptop (a small one at 64 px), photographs (resnet18 at 224 px, for a GPU), "
            "sagers2023 (the paper's)."
        ),
    ] = "laptop",
    seeds: Annotated[
        int, typer.Option(min=0, help="Training runs of each classifier; 0: no gain is measured, so no pass.")
    ] = 5,
    n_real: Annotated[int, typer.Option(min=0, help="Real images per class; 0: all.")] = 0,
    ratio: Annotated[float, typer.Option(min=0.1, help="Synthetic images for each real one, at most.")] = 10.0,
    model: Annotated[str | None, typer.Option(help="The classifier: any timm model. [default: the preset's]")] = None,
    weights: Annotated[str | None, typer.Option(help=f"{options.WEIGHTS} [default: auto, or the preset's]")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side in pixels of the images that it sees. [default: the preset's]")
    ] = None,
    steps: options.Steps = None,
    lr: options.Rate = None,
    seed: Annotated[int, typer.Option(help="Of the first training run and of the half samples.")] = 0,
    control: Annotated[int, typer.Option(min=1, help="Planted copies of each kind that the audit must find.")] = 20,
    draws: Annotated[int, typer.Option(min=50, help="Half samples of each interval.")] = 200,
    max_n: Annotated[int, typer.Option(min=40, help="Most images of a side in recall, coverage and Vendi.")] = 1000,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. [default: one a core]")] = None,
    device: Annotated[str, typer.Option(help="Of the features: cpu, cuda, cuda:1.")] = "cpu",
    allow_leakage: Annotated[bool, typer.Option(help="Continue although a generator saw too much.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificate as JSON.")] = False,
) -> None:
    """Certify a generator by what it is for: its images against those of its teacher, on one plan.

    For what draws other images than before: few steps, lower precision, another solver or decoder. Each row passes,
    fails or cannot be determined; the whole passes where every row does. Exit status 1 where it fails. `gen attach`
    puts the certificate into the bundle.

    Example: evalsuite use --teacher synthetic --student fast --real data --out use
    """
    from evalsuite.images import artifacts
    from evalsuite.images.features.extractors import open_extractors
    from evalsuite.page.render import write_page
    from evalsuite.report import use_report
    from evalsuite.study.run_arms import Options
    from evalsuite.use.gain_kept import Trial
    from evalsuite.use.margins import read_margins
    from evalsuite.use.measure_use import Sets, Settings, measure_use

    claim(folder, "a certificate of use", [USE, "rows.*"], ["features", "arms"])
    named = read_margins(margins)
    recipe, note = _recipe(preset, model=model, weights=weights, size=size, steps=steps, lr=lr, seed=seed, ratio=ratio)
    found = measure_use(
        Sets(teacher, student, real, reference, tuned_on),
        open_extractors(extractor, device),
        Trial(recipe, n_real, seeds),
        Settings(named, draws, max_n, control, seed, (note,) if note and seeds else ()),
        folder=folder,
        options=Options(workers, allow_leakage=allow_leakage, progress=progress),
        track=track,
    )
    certificate = found.certificate
    rows = _table(found)
    artifacts.write_findings(use_report.use_section(found), folder, "rows", {"rows": rows}, {"rows.csv": rows})
    write_whole(folder / USE, certificate.content())
    page = write_page([use_report.report(found)], folder)
    if as_json:
        print_json({**certificate.model_dump(mode="json"), "report": str(page)})
    else:
        show(found, folder, page)
    if certificate.verdict == "fail":
        raise CheckFailed(f"the student's images do not serve as the teacher's do: {certificate.sentence()}")


def _recipe(preset: Preset, **given: Any) -> tuple[Recipe, str]:
    """The preset's classifier with what was given, and a sentence on its weights."""
    from evalsuite.study.design import PRESETS
    from evalsuite.training.pretrained import settled_recipe

    return settled_recipe(
        **{**PRESETS[preset].recipe, **{name: value for name, value in given.items() if value is not None}}
    )


def _table(found: UseReport) -> Any:
    import pandas as pd

    return pd.DataFrame([row.model_dump() for row in found.certificate.rows])


def show(found: UseReport, folder: Path, page: Path) -> None:
    """What failed and what cannot be determined, and where to read on."""
    certificate = found.certificate
    for text in certificate.leakage:
        say("leakage: " + text, style="red")
    for row in certificate.rows:
        if row.verdict != "pass":
            ends = "" if row.low is None or row.high is None else f" ({row.low:.3g} to {row.high:.3g})"
            value = "not enough data" if row.value is None else f"{row.value:.3g}{ends}"
            why = f": {row.note}" if row.note else ""
            say(f"{row.verdict:20} {row.measure:18} {row.cell:28} {row.scale} {value}{why}")
    say(certificate.sentence())
    if certificate.bundle:
        attach = typed("gen", "attach", "BUNDLE", folder / USE)
        say(f"certificate: {folder / USE}, of the bundle {certificate.bundle[:12]} ({attach})")
    else:
        say(f"certificate: {folder / USE}; the student's shards name no single bundle, so it can be attached to none")
    say(f"report: {page}")
