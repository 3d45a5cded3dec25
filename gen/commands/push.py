"""`gen push`: a tuned pipeline or a bundle to the Hugging Face Hub, with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common import console, hub_licences
from dermforge.common.clear_names import in_clear
from dermforge.common.errors import UserError
from dermforge.common.hub_address import to_push


def push(
    folder: Annotated[Path, typer.Argument(help="A bundle, or a pipeline of gen finetune or gen distill.")],
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="hf://OWNER/NAME")],
    licence: Annotated[
        str | None, typer.Option("--licence", "--license", help="As the hub names it: creativeml-openrail-m.")
    ] = None,
    licence_link: Annotated[
        str | None, typer.Option("--licence-link", "--license-link", help="Of another licence: address of its text.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Everybody may see it; else it is private.")] = False,
    publish_real_ids: Annotated[
        bool, typer.Option("--publish-real-ids", help="Ids of its lineage that are no digests identify nobody.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Send a tuned pipeline or an engine bundle to the Hugging Face Hub, with a model card.

    The card says what it was tuned on, its certificates and its limits.

    A new repository is private. A stopped push goes on: files that have arrived are not sent again. Log in before, with
    `hf auth login` or HF_TOKEN. Bundles with compiled engine files are refused: they are code.

    Example: gen push tuned hf://me/lesions-sd15 --licence creativeml-openrail-m
    """
    from dermforge.common.hub_push import Content
    from dermforge.common.hub_push import push as send
    from engines.facts import read_facts
    from engines.manifest import MANIFEST
    from engines.model_card import model_card
    from engines.published import beside, check_whole, is_ours, record_of, recorded

    address, chosen = to_push(to, "model"), hub_licences.licence(licence, licence_link)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; expected an engine bundle or a tuned pipeline")
    digests = recorded(folder)
    check_whole(folder)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    record = record_of(names)
    lineage = _lineage_of_bundle(folder) if record == MANIFEST else read_facts(folder).get("lineage", [])
    if (clear := in_clear(lineage)) and not publish_real_ids:
        few = ", ".join(clear[:3]) + (" ..." if len(clear) > 3 else "")
        raise UserError(
            f"the lineage of {folder} names {len(clear)} real images in clear ({few}): who knows the names knows whose "
            "disease was photographed. Tune on a set of `shards make --hash-ids`; or, where they identify nobody, as "
            "in a public data set, give `publish_real_ids`"
        )
    files: dict[str, Path | bytes] = {name: folder / name for name in (*digests, *beside(names, record))}
    files["README.md"] = model_card(folder, address.id, chosen).encode()
    content = Content(files, ("README.md",), digests, is_ours)
    done = send(address, content, public, f"A {'bundle' if record == MANIFEST else 'pipeline'}", console.progress)
    left = sorted(set(names) - set(files))
    if as_json:
        console.print_json({**vars(done), "left_here": left})
        return
    who = "private" if done.private else "public"
    console.say(
        f"{done.address} ({who}), revision {done.revision[:12]}: {done.files} files, {done.bytes / 1e6:.1f} MB, of "
        f"which {len(done.sent)} files are new"
    )
    if left:
        console.say(f"not sent: {', '.join(left)}")
    if done.others:
        console.say(f"left on the hub: {', '.join(done.others)}")
    if public and done.private:
        console.warn(f"{done.address} is private and stays so; change that in its settings on the hub")
    if old := [*done.removed, *done.replaced]:
        console.warn(
            f"{len(old)} files of a former revision ({', '.join(old[:3])}) are still in its history on the hub"
        )


def _lineage_of_bundle(folder: Path) -> list[str]:
    from engines.bundle import read_bundle

    manifest = read_bundle(folder).manifest
    return [*manifest.spec.lineage, *(manifest.base.spec.lineage if manifest.base else [])]
