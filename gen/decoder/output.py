"""The small decoder as a folder that diffusers' `AutoencoderTiny` opens, with the images that it saw."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dermforge.common.clear_names import in_clear, warning
from dermforge.common.sealed_file import sealed_json
from dermforge.common.whole_folder import whole_folder
from engines.facts import FACTS
from engines.pipeline_spec import file_digests
from gen.finetune.base import Base
from gen.finetune.data.examples import Examples
from gen.finetune.output import TRAINING, Record, lineage_facts, made_by

RECORD = Record("distill_decoder", "a distilled decoder")


def write(
    student: Any,
    base: Base,
    examples: Examples,
    identity: dict[str, Any],
    steps: int,
    out: Path,
    records: Iterable[tuple[Path, str]] = (),
) -> None:
    """Write the folder whole: weights, configuration, lineage, card and log."""
    with whole_folder(out) as folder:
        student.save_pretrained(folder, safe_serialization=True)
        facts = lineage_facts(base, examples) | {RECORD.key: made_by(identity, steps), "files": file_digests(folder)}
        (folder / FACTS).write_bytes(sealed_json(json.dumps(facts, indent=1, ensure_ascii=False)))
        (folder / "README.md").write_text(_card(student, base, facts, identity, steps), encoding="utf-8")
        (folder / TRAINING).mkdir()
        for path, name in records:
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, folder / TRAINING / name)


def _card(student: Any, base: Base, facts: dict[str, Any], identity: dict[str, Any], steps: int) -> str:
    width, spec = student.config.decoder_block_out_channels[0], base.spec
    clear = in_clear(facts["lineage"])
    caution = f"\nBefore you publish: {warning(clear, FACTS)}.\n" if clear else ""
    return f"""# A small decoder

It decodes the latents of the pipeline of digest `{base.digest}` (its licence holds here too) and of those tuned from
it, {spec.latent_channels} channels, {spec.vae_scale_factor} pixels a side of each latent. It was trained by
`gen distill-decoder` at {spec.size} px, {steps} steps of {identity["batch"]}, to give what the pipeline's VAE gives:
L1 at four scales. Shapes: TAESD's, with {width} channels.

`gen build-engine --decoder` puts it into a bundle and certifies it. diffusers' `AutoencoderTiny` opens this folder, to
decode: **its encoder is all zeros** and encodes nothing.
{caution}"""
