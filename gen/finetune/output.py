"""The tuned pipeline as a folder: the base's own files, the part that changed, and their lineage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dermforge.common.clear_names import in_clear, warning
from dermforge.common.errors import UserError
from dermforge.common.markdown import escaped, table
from dermforge.common.output_folder import claim
from dermforge.common.sealed_file import sealed_json
from dermforge.common.training_state import changes_between
from dermforge.common.whole_folder import whole_folder
from engines.adapters.files import KEPT_IN, record_origin
from engines.adapters.words import SEVERAL
from engines.builder import write_index
from engines.checkpoint.skeleton import parts_of, pipeline_class, tokenizers_of
from engines.checkpoint.weights import copy_part, write_weights
from engines.facts import FACTS, read_facts
from engines.pipeline_spec import file_digests, model_digest
from gen.finetune.base import Base
from gen.finetune.data.examples import Examples, lineage_of
from gen.finetune.methods import PromptedDenoiser
from gen.finetune.settings import Hyperparameters
from gen.finetune.text import LearntText, Words
from gen.plan.prompts import names_skin_type
from shards.format.schema import created_by

#: What is known of the run.
TRAINING = "training"
KEPT = (".json", ".txt", ".model")


@dataclass(frozen=True)
class Record:
    """The key in `dermforge.json` that says what run wrote a folder, and what the folder is called."""

    key: str
    what: str


def finished(
    out: Path,
    record: Record,
    identity: dict[str, Any],
    steps: int,
    fresh: bool = False,
    usual: Mapping[str, Any] = MappingProxyType({}),
) -> bool:
    """Whether `out` is the result of this same run, and is not to be made again (`fresh`).

    Parameters
    ----------
    usual
        Values that an identity leaves out, but for the steps: at a constant rate these are as many as were asked for.

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
    before = read_facts(out).get(record.key)
    if before is None:
        raise UserError(f"{out} exists and is not {record.what}; write to another folder")
    if not fresh and (changes := changes_between(before.get("identity", {}), identity, {**usual, "steps": steps})):
        raise UserError(
            f"{out} is of another run: {changes}; write to another folder, or start again (`fresh`), which replaces it"
        )
    if not fresh and (made := before.get("steps", 0)) > steps:
        raise UserError(
            f"{out} has made {made} steps, and {steps} are asked for: write to another folder, or start again "
            "(`fresh`), which replaces it"
        )
    same = not fresh and bool(before == made_by(identity, steps))
    if same:
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
    network: PromptedDenoiser
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
            assert isinstance(self.network.text, LearntText)
            _write_text(self.base, self.network.text, self.examples.words, folder)
            return
        denoiser = self.network.denoiser
        if self.settings.method == "lora":
            _fuse(self.base, denoiser, folder / KEPT_IN if keep_adapter else None)
        _write_denoiser(self.base, denoiser, folder)

    def facts(self) -> dict[str, Any]:
        """What engines and the lineage guard read."""
        data, cells = self.examples.data, self.examples.cells
        return {
            "classes": sorted(set(data.rows["class"])),
            "groups": data.groups if names_skin_type(self.examples.template) else None,
            "prompt_template": self.examples.template,
            **lineage_facts(self.base, self.examples),
            "validation_prompts": [
                {"prompt": self.examples.prompts[prompt], "class": label, "group": group}
                for label, group, prompt in zip(cells["class"], cells["group"], cells["prompt"], strict=True)
            ],
            self.record.key: made_by(self.identity, self.steps),
            "source": read_facts(self.base.folder).get("source"),
        }

    def card(self) -> str:
        """The README of the folder."""
        settings = self.settings
        per_class = self.examples.data.rows["class"].value_counts(sort=False).sort_index()
        counts = table(["class", "images"], [[escaped(str(label)), str(n)] for label, n in per_class.items()])
        return f"""# A fine-tuned pipeline

Tuned by `gen finetune --method {settings.method}` from the pipeline of digest `{self.base.digest}`; its licence holds
here too. {self.steps} steps of {settings.batch}, learning rate {settings.learning_rate:g}, {self.base.spec.size} px,
prompts "{escaped(self.examples.template)}". The log is `training/log.csv`.

{counts}

Lineage: `dermforge.json` names every real image behind these weights. Images made with them must not be used to train
a classifier that is tested on one of those images.
{self.caution()}"""

    def caution(self) -> str:
        """What the card says of names in clear; nothing where there are none."""
        names = in_clear(self.facts()["lineage"])
        return f"\nBefore you publish: {warning(names, FACTS)}.\n" if names else ""


def lineage_facts(base: Base, examples: Examples) -> dict[str, Any]:
    """The real images behind what was trained, the pipeline's own and the examples', with the digests that are known.

    Synthetic examples are no real images: those behind them are named, and have no digest here.
    """
    data, before = examples.data, read_facts(base.folder)
    real = {i for i, origin in zip(data.rows["id"], data.rows["origin"], strict=True) if origin != "synthetic"}
    return {
        "lineage": list(dict.fromkeys([*before.get("lineage", []), *lineage_of(data)])),
        "lineage_sha256": before.get("lineage_sha256", {}) | {i: examples.digests[i] for i in sorted(real)},
        "phantom": bool(base.spec.phantom or (data.rows["origin"] == "phantom").any()),
    }


def _copy(base: Path, folder: Path) -> None:
    """Copy what a pipeline needs: no pickles, one copy of the weights, no safety checker."""
    write_index(base, folder)
    for part in ("scheduler", *tokenizers_of(base)):
        (folder / part).mkdir()
        for path in sorted((base / part).iterdir()):
            if path.suffix in KEPT:
                shutil.copyfile(path, folder / part / path.name)
    for part in parts_of(base):
        copy_part(base, folder, part)
    for licence in sorted(base.glob("LICENSE*")):
        shutil.copyfile(licence, folder / licence.name)


def _write_denoiser(base: Base, denoiser: Any, folder: Path) -> None:
    part = base.spec.denoiser
    place = folder / part
    shutil.rmtree(place)
    denoiser.save_pretrained(place, safe_serialization=True)
    shutil.copyfile(base.folder / part / "config.json", place / "config.json")  # diffusers' names this machine


def _fuse(base: Base, denoiser: Any, adapter: Path | None) -> None:
    """Add the low-rank updates to the weights; the adapter alone, for use with the base model, goes to `adapter`."""
    from diffusers.utils import recurse_remove_peft_layers
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import get_peft_model_state_dict

    if adapter:
        layers = {f"{base.spec.denoiser}_lora_layers": get_peft_model_state_dict(denoiser)}
        pipeline_class(base.family, base.inpaint).save_lora_weights(adapter, **layers, safe_serialization=True)
    for module in denoiser.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()
    recurse_remove_peft_layers(denoiser)


def _write_text(base: Base, text: LearntText, words: list[str], folder: Path) -> None:
    """Write the text encoders with the learnt words, the tokenizers that know them, and each word alone."""
    vectors: dict[str, Tensor] = {}
    for part, (name, tokenizer) in zip(base.spec.text_encoders, base.tokenizers.items(), strict=True):
        encoder: Any = text.encoders[part]
        learnt = encoder.get_input_embeddings()
        assert isinstance(learnt, Words)
        table, vectors[part] = learnt.weight.detach(), learnt.learnt.detach()
        encoder.set_input_embeddings(nn.Embedding.from_pretrained(table))
        for place in (part, name):
            shutil.rmtree(folder / place)
        (folder / part).mkdir()
        write_weights(folder, part, encoder.state_dict())
        config = json.loads((base.folder / part / "config.json").read_text(encoding="utf-8"))
        config["vocab_size"] = len(table)
        (folder / part / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        tokenizer.save_pretrained(folder / name)
    (folder / "words").mkdir()
    for i, word in enumerate(words):
        own = {part: torch.clone(rows[i]) for part, rows in vectors.items()}
        if len(own) == 1:
            name, tensors = word.strip("<>").replace(" ", "_"), {word: own.popitem()[1]}
        else:  # files for two encoders have no place for the word: it is the file's name
            name, tensors = word, {SEVERAL[part]: row for part, row in own.items()}
        save_file(tensors, folder / "words" / f"{name}.safetensors")


def made_by(identity: dict[str, Any], steps: int) -> dict[str, Any]:
    """What a result says of its run, in values of JSON."""
    return {"identity": _plain(identity), "steps": steps, "created_by": created_by()}


def _plain(value: dict[str, Any]) -> Any:
    return json.loads(json.dumps(value))
