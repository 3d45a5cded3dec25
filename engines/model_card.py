"""A model card of a bundle or a pipeline: what it is, what it was tuned on, what vouches for it, and its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dermforge.common import id_ranges
from dermforge.common.clear_names import is_phantom
from dermforge.common.command_line import typed
from dermforge.common.hub_licences import Licence
from dermforge.common.markdown import escaped, table
from engines.bundle import Bundle, find_record, read_bundle
from engines.certificate import Certificate
from engines.facts import read_facts
from engines.manifest import MANIFEST, PARITY
from engines.pipeline_spec import model_digest
from engines.use import read_use

_PHANTOM = (
    "**It draws phantoms**: drawn lesions on drawn skin, which test machinery. They show no disease, and nothing "
    "medical can be concluded from them."
)
_SYNTHETIC = (
    "**It draws synthetic images** of skin. They are not photographs of patients and must not be shown as such, and "
    "nothing here diagnoses."
)
_LIMITS = """## Limits

- A prompt that asks for a disease or a skin type is a request: the image need not show it (`evalsuite tone`, `evalsuite
  quality`). A model that saw few images of dark skin knows little about dark skin.
- A model that was tuned on few images can repeat them. Look for copies before images are published (`evalsuite
  privacy`).
- Images made with it must not train a classifier that is tested on an image of the lineage, or a near copy of one.
- Research only. The weights are not free of the terms of those that they were tuned from."""


def model_card(folder: Path, id: str, licence: Licence) -> str:
    """The card as Markdown with its YAML head.

    Parameters
    ----------
    id
        OWNER/NAME on the hub.
    """
    from huggingface_hub import ModelCardData

    bundle = read_bundle(folder) if (folder / MANIFEST).is_file() else None
    facts = bundle.manifest.spec.model_dump() if bundle else read_facts(folder)
    phantom = bool(facts.get("phantom"))
    head: dict[str, Any] = {
        **licence.head(),
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["dermforge", "dermatology", "phantom" if phantom else "synthetic"],
    }
    rows = _of_bundle(bundle) if bundle else {"model": f"`{model_digest(folder)}`"}
    rows |= {name: _words(facts.get(name)) for name in ("classes", "groups", "prompt_template")}
    if facts.get("few_steps"):
        rows["few steps"] = _words([f"{key} {value}" for key, value in facts["few_steps"].items()])
    what = "An engine bundle" if bundle else "A tuned pipeline"
    return "\n\n".join(
        [
            f"---\n{ModelCardData(**head).to_yaml()}\n---",
            f"# {id.split('/')[1]}",
            _PHANTOM if phantom else _SYNTHETIC,
            f"{what} of dermforge; {typed('gen', 'pull', f'hf://{id}', 'OUT')} fetches it and checks its digests.",
            table(["", ""], [[name.replace("_", " "), value] for name, value in rows.items()]),
            _lineage(facts.get("lineage") or []),
            *([_certificates(bundle)] if bundle else []),
            _LIMITS,
            "",
        ]
    )


def _of_bundle(bundle: Bundle) -> dict[str, str]:
    manifest = bundle.manifest
    return {
        "bundle": f"`{bundle.digest}`",
        "model": f"`{manifest.model_digest}`",
        "backend": f"{manifest.backend}, {manifest.precision}",
        "size": f"{manifest.spec.size} px",
    }


def _words(value: Any) -> str:
    return escaped(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "not named"))


def _lineage(lineage: list[str]) -> str:
    known, alone = list(id_ranges.known(lineage)), id_ranges.without_record(lineage)
    drawn = id_ranges.count(entry for entry in known if is_phantom(entry))
    real = id_ranges.count(known) - drawn
    words = [f"Tuned on {drawn} phantoms: drawings."] if drawn else []
    if real:
        words.append(
            f"**Tuned on {real} real images of patients.** Their ids travel with the weights, so that a leak between "
            "training and test images is found; a patient who withdraws consent is in the weights until they are tuned "
            "again."
        )
    if alone:
        names = ", ".join(map(_words, alone))
        words.append(f"Nobody recorded the training images of {names}: any image may be among them.")
    return f"## Lineage\n\n{' '.join(words) or 'No image is recorded that these weights were tuned on.'}"


def _certificates(bundle: Bundle) -> str:
    parity, use = find_record(bundle, PARITY, Certificate), read_use(bundle)
    words = "none: this bundle was not compared with its pipeline."
    if parity:
        verdict = "passed" if parity.passed else f"**FAILED** ({escaped('; '.join(parity.failures))})"
        words = (
            f"{verdict}, compared with the pipeline's own images in float32: worst PSNR {parity.images.psnr_worst:.1f} "
            f"dB of {parity.images.n} images, allowed {parity.smallest_psnr_allowed:.0f} dB ({escaped(parity.ran_on)})."
        )
    used = f"{_words(use[0].sentence())} (`{use[1][:12]}`)." if use else "none."
    return f"## Certificates\n\n- Parity: {words}\n- Use (`evalsuite use`): {used}"
