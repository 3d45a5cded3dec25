"""The tuned pipeline as a folder: the base's own files, the part that changed, and their lineage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn

from dermforge.common.clear_names import in_clear, warning
from dermforge.common.errors import UserError
from dermforge.common.output_folder import claim
from dermforge.common.sealed_file import sealed_json
from dermforge.common.training_state import changes_between
from dermforge.common.whole_folder import whole_folder
from engines.adapters.files import record_origin
from engines.checkpoint.folder import read_json
from engines.checkpoint.skeleton import parts_of
from engines.checkpoint.weights import copy_part, write_weights
from engines.pipeline_spec import FACTS, file_digests, model_digest
from gen.finetune.base import Base
from gen.finetune.data.examples import Examples, lineage_of
from gen.finetune.methods import PromptedUNet, Words
from gen.finetune.settings import Hyperparameters
from gen.plan.prompts import names_skin_type
from shards.format.schema import created_by

#: What is known of the run.
TRAINING = "training"
FILES = ("scheduler", "tokenizer")
KEPT = (".json", ".txt", ".model")


@dataclass(frozen=True)
class Record:
    """The key in `dermforge.json` that says what run wrote a folder, and what the folder is called."""

    key: str
    what: str


def finished(out: Path, record: Record, identity: dict[str, Any], steps: int, fresh: bool = False) -> bool:
    """Whether `out` is the result of this same run.

    Raises
    ------
    UserError
        The folder exists and was not written by such a run, or is the result of another run or of more steps and not
        to be replaced (`fresh`).
    EngineError
        It is the result of this run, and damaged.
    """
    claim(out, record.what, [FACTS])
    if not (out / FACTS).is_file():
        return False
    before = read_json(out / FACTS).get(record.key)
    if before is None:
        raise UserError(f"{out} exists and is not {record.what}; write to another folder")
    if not fresh and (changes := changes_between(before.get("identity", {}), identity)):
        raise UserError(
            f"{out} is of another run: {changes}; write to another folder, or start again (fresh), which replaces it"
        )
    if not fresh and (made := before.get("steps", 0)) > steps:
        raise UserError(
            f"{out} has made {made} steps, and {steps} are asked for: write to another folder, or start again (fresh), "
            "which replaces it"
        )
    same = bool(before == made_by(identity, steps))
    if same and not fresh:
        model_digest(out)
    return same


@dataclass(frozen=True)
class TunedPipeline:
    """What a run made.

    Attributes
    ----------
    record
        How the folder is known as the result of such a run.
    identity
        What decides its weights.
    """

    record: ClassVar[Record] = Record("finetune", "a fine-tuned pipeline")

    base: Base
    network: PromptedUNet
    examples: Examples
    settings: Hyperparameters
    identity: dict[str, Any]
    steps: int

    def write(self, out: Path, keep_adapter: bool, records: Iterable[tuple[Path, str]] = ()) -> None:
        """Write the pipeline folder, safetensors only; LoRA is fused, so the folder runs wherever its base runs.

        Parameters
        ----------
        records
            Files and folders about the run, and their names under `training`.
        """
        with whole_folder(out) as folder:
            _copy(self.base.folder, folder)
            self.write_parts(folder, keep_adapter)
            known = self.facts()
            for path in (*folder.glob("lora/*.safetensors"), *folder.glob("words/*.safetensors")):
                record_origin(path, known["lineage"], known["phantom"])
            facts = known | {"files": file_digests(folder)}
            (folder / FACTS).write_bytes(sealed_json(json.dumps(facts, indent=1, ensure_ascii=False)))
            (folder / "README.md").write_text(self.card(), encoding="utf-8")
            (folder / TRAINING).mkdir()
            for path, name in records:
                (shutil.copytree if path.is_dir() else shutil.copyfile)(path, folder / TRAINING / name)

    def write_parts(self, folder: Path, keep_adapter: bool) -> None:
        """Put what was trained in the place of the base's own."""
        if self.settings.method == "textual-inversion":
            _write_text(self.base, self.examples.words, folder)
            return
        if self.settings.method == "lora":
            _fuse(self.network.unet, folder / "lora" if keep_adapter else None)
        _write_unet(self.base, self.network.unet, folder)

    def facts(self) -> dict[str, Any]:
        """What engines and the lineage guard read."""
        data, own = self.examples.data, self.base.folder / FACTS
        inherited = read_json(own) if own.is_file() else {}
        real = {i for i, origin in zip(data.rows["id"], data.rows["origin"], strict=True) if origin != "synthetic"}
        lineage = [*inherited.get("lineage", []), *lineage_of(data)]
        digests = {i: self.examples.digests[i] for i in sorted(real)}
        cells = self.examples.cells
        return {
            "classes": sorted(set(data.rows["class"])),
            "groups": data.groups if names_skin_type(self.examples.template) else None,
            "prompt_template": self.examples.template,
            "lineage": list(dict.fromkeys(lineage)),
            "lineage_sha256": inherited.get("lineage_sha256", {}) | digests,
            "phantom": bool(self.base.spec.phantom or (data.rows["origin"] == "phantom").any()),
            "validation_prompts": [
                {"prompt": self.examples.prompts[prompt], "class": label, "group": group}
                for label, group, prompt in zip(cells["class"], cells["group"], cells["prompt"], strict=True)
            ],
            self.record.key: made_by(self.identity, self.steps),
            "source": inherited.get("source"),
        }

    def card(self) -> str:
        """The README of the folder."""
        settings = self.settings
        per_class = self.examples.data.rows["class"].value_counts(sort=False).sort_index()
        counts = "\n".join(f"| {label} | {n} |" for label, n in per_class.items())
        return f"""# A fine-tuned pipeline

Tuned by `gen finetune --method {settings.method}` from the pipeline of digest `{self.base.digest}`; its licence holds
here too. {self.steps} steps of {settings.batch}, learning rate {settings.learning_rate:g}, {self.base.spec.size} px,
prompts "{self.examples.template}". The log is `training/log.csv`.

| class | images |
|---|---|
{counts}

Lineage: `dermforge.json` names every real image behind these weights. Images made with them must not be used to train
a classifier that is tested on one of those images.
{self.caution()}"""

    def caution(self) -> str:
        """What the card says of names in clear; nothing where there are none."""
        names = in_clear(self.facts()["lineage"])
        return f"\nBefore you publish: {warning(names, FACTS)}.\n" if names else ""


def _copy(base: Path, folder: Path) -> None:
    """Copy what a pipeline needs: no pickles, one copy of the weights, no safety checker."""
    index = json.loads((base / "model_index.json").read_text(encoding="utf-8"))
    extra = {
        name: [None, None]
        for name, value in index.items()
        if isinstance(value, list) and name not in (*FILES, *parts_of(base))
    }
    index |= extra | {"requires_safety_checker": False}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for part in FILES:
        (folder / part).mkdir()
        for path in sorted((base / part).iterdir()):
            if path.suffix in KEPT:
                shutil.copyfile(path, folder / part / path.name)
    for part in parts_of(base):
        copy_part(base, folder, part)
    for licence in sorted(base.glob("LICENSE*")):
        shutil.copyfile(licence, folder / licence.name)


def _write_unet(base: Base, unet: UNet2DConditionModel, folder: Path) -> None:
    place = folder / "unet"
    shutil.rmtree(place)
    unet.save_pretrained(place, safe_serialization=True)
    shutil.copyfile(base.folder / "unet" / "config.json", place / "config.json")  # diffusers' names this machine


def _fuse(unet: UNet2DConditionModel, adapter: Path | None) -> None:
    """Add the low-rank updates to the weights; the adapter alone, for use with the base model, goes to `adapter`."""
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    if adapter:
        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
        StableDiffusionPipeline.save_lora_weights(adapter, unet_lora_layers=layers, safe_serialization=True)
    unet.fuse_lora()
    unet.unload_lora()


def _write_text(base: Base, words: list[str], folder: Path) -> None:
    """Write the text encoder with the learnt words, the tokenizer that knows them, and each word alone."""
    text = base.pipeline.text_encoder
    learnt = text.get_input_embeddings()
    assert isinstance(learnt, Words)
    table = learnt.weight.detach()
    text.set_input_embeddings(nn.Embedding.from_pretrained(table))
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(folder / part)
    (folder / "text_encoder").mkdir()
    write_weights(folder, "text_encoder", text.state_dict())
    config = json.loads((base.folder / "text_encoder" / "config.json").read_text(encoding="utf-8"))
    config["vocab_size"] = len(table)
    (folder / "text_encoder" / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    base.pipeline.tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "words").mkdir()
    for word, vector in zip(words, learnt.learnt.detach(), strict=True):
        name = word.strip("<>").replace(" ", "_")
        save_file({word: torch.clone(vector)}, folder / "words" / f"{name}.safetensors")


def made_by(identity: dict[str, Any], steps: int) -> dict[str, Any]:
    """What a result says of its run, in values of JSON."""
    return {"identity": _plain(identity), "steps": steps, "created_by": created_by()}


def _plain(value: dict[str, Any]) -> Any:
    return json.loads(json.dumps(value))
