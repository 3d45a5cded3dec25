"""`evalsuite privacy`: are synthetic images copies of training images?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common.atomic import write_whole
from dermforge.common.console import print_json, say, track
from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.output_folder import claim
from evalsuite.images.features.names import SPECS
from evalsuite.images.image_data import open_images


def privacy(
    train: Annotated[Path, typer.Argument(help="Real images the generator was tuned on.")],
    synthetic: Annotated[Path, typer.Argument(help="Synthetic images: shards or a folder.")],
    test: Annotated[Path | None, typer.Option(help="Unseen real images: they set the threshold.")] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for tables and quarantine.txt.")] = Path("privacy"),
    false_alarms: Annotated[
        float, typer.Option(min=0.0001, max=0.2, help="Share of unseen real images that may be called copies.")
    ] = 0.01,
    extractor: Annotated[list[str] | None, typer.Option(help=f"Feature spaces besides the pixels: {SPECS}.")] = None,
    control: Annotated[int, typer.Option(min=1, help="Planted copies of each kind that it must find.")] = 20,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")] = "cpu",
    fail_on_copies: Annotated[bool, typer.Option(help="Exit with status 1 when any image is quarantined.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rates as JSON.")] = False,
) -> None:
    """Find each synthetic image's nearest training image; call it a copy when unseen real images are never as near.

    With --extractor also how near images come to a patient's photograph in each encoder alone (re-identification).

    Example: evalsuite privacy demo/phantoms/train demo/shards --test demo/phantoms/test --out demo/privacy
    """
    from evalsuite.images import artifacts
    from evalsuite.images.features.extractors import open_extractors
    from evalsuite.images.privacy.audit import alarms_sentence, audit_copies
    from evalsuite.images.privacy.audit_report import privacy_section
    from evalsuite.images.privacy.planted_copies import missed_kinds
    from evalsuite.images.privacy.reidentification import reidentification_sentence
    from evalsuite.images.privacy.unseen_images import left_out_sentence

    claim(folder, "an audit of copies", ["privacy.*"], ["features"])
    spaces = open_extractors(extractor or [], device)
    if by_id := [one.name for one in spaces if one.by_id]:
        raise UserError(
            f"--extractor {by_id[0]} is a table of features; privacy plants copies of its own, which no table knows: "
            "give an encoder that runs here"
        )
    trained, made = open_images(train), open_images(synthetic)
    unseen = None if test is None else open_images(test)
    audit = audit_copies(
        train=trained,
        synthetic=made,
        test=unseen,
        false_alarms=false_alarms,
        extractors=spaces,
        control=control,
        folder=folder / "features",
        track=track,
    )
    tables = {"privacy.parquet": audit.images, "unseen.parquet": audit.unseen, "left_out.csv": audit.left_out}
    tables |= {"rates.csv": audit.rates, "control.csv": audit.control, "reidentification.csv": audit.reidentification}
    kept = ("rates", "calibration", "parts", "control", "quarantine", "reidentification")
    summary = {name: getattr(audit, name) for name in kept}
    summary["false_alarms_measured"] = audit.alarms
    found = artifacts.write_findings(privacy_section(audit, trained, made, unseen), folder, "privacy", summary, tables)
    write_whole(folder / "quarantine.txt", "".join(f"{id}\n" for id in audit.quarantine).encode())
    if as_json:
        print_json(found)
    else:
        for row in audit.rates[audit.rates["family"].isin(["overall", "group", "strategy"])].itertuples():
            say(
                f"{row.how:18} {row.cell:16} {row.copies:5} of {row.n:6}  {row.rate:.3f} "
                f"({row.low:.3f} to {row.high:.3f})"
            )
        say(" ".join(filter(None, [audit.calibration.sentence(), left_out_sentence(audit.left_out)])))
        planted = ", ".join(f"{row.kind} {row.found} of {row.n}" for row in audit.control.itertuples())
        say(f"planted copies found: {planted}")
        say(" ".join(filter(None, [missed_kinds(audit.control), alarms_sentence(audit.alarms)])))
        if risk := reidentification_sentence(audit.reidentification):
            say(risk)
        say(f"copies: {folder / 'quarantine.txt'} (`shards select --quarantine` drops them)")
    if fail_on_copies and audit.quarantine:
        raise CheckFailed(f"{len(audit.quarantine)} synthetic images are copies of training images; see {folder}")
