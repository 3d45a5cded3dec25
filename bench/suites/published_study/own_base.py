"""A small pipeline of one's own images, to be tuned by `gen finetune`: the VAE is taught, all else is random.

The built-in pipeline's VAE knows the colours of phantoms only: photographs come back at 25 dB.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline

from dermforge.common.progress import Progress, silent
from dermforge.common.training_log import TrainingLog
from dermforge.common.whole_folder import whole_folder
from engines.checkpoint.weights import write_weights
from engines.facts import FACTS
from gen.builtin.data import Images
from gen.builtin.model import LATENT_CHANNELS, PATCH, new_scheduler, new_text_encoder, new_tokenizer, new_unet, new_vae
from gen.builtin.patch_code import fit_code
from gen.builtin.train_stages import COLUMNS, LOG, Budget, Workshop, train_decoder, train_encoder
from gen.finetune.data.examples import Examples, lineage_of, make_examples
from gen.plan.parents import Parents
from shards.format.reader import ShardSet

TEMPLATE = "An image of {class}"
WITH_GROUP = "An image of {class}, skin type {fst}"


@dataclass(frozen=True)
class OwnImages:
    """Real images that a small pipeline is made for.

    Attributes
    ----------
    folder
        Shards; all of them are used.
    size
        Side in pixels that the images are cut to, a multiple of 32.
    budget
        Steps of the VAE's encoder and decoder.
    """

    folder: Path
    size: int
    budget: Budget

    def write_pipeline(self, out: Path, work: Path, *, seed: int = 0, progress: Progress = silent) -> None:
        """Write the pipeline; what is behind it is in its facts, as in those of a tuned one.

        Parameters
        ----------
        work
            Checkpoints, from which a stopped run goes on.
        """
        data = ShardSet.open(self.folder)
        vae = self._taught_vae(data, work, seed, progress)
        examples = make_examples(data, WITH_GROUP if data.groups else TEMPLATE)
        torch.manual_seed(seed + 2)
        tokenizer = new_tokenizer(examples.prompts)
        text_encoder = new_text_encoder(tokenizer)
        pipeline = StableDiffusionPipeline(
            vae=vae,
            unet=new_unet(size=self.size),
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=new_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        with whole_folder(out) as folder:
            pipeline.save_pretrained(folder, safe_serialization=True)
            write_weights(folder, "text_encoder", text_encoder.state_dict())
            (folder / FACTS).write_text(json.dumps(_facts(examples), indent=1) + "\n", encoding="utf-8")

    def _taught_vae(self, data: ShardSet, work: Path, seed: int, progress: Progress) -> AutoencoderKL:
        parents, ids = Parents(data, self.folder), list(data.rows["id"])
        images = Images(np.stack([parents.image(id, self.size) for id in ids]))
        work.mkdir(parents=True, exist_ok=True)
        code = fit_code(images, PATCH, LATENT_CHANNELS, work / "code.safetensors")
        identity: dict[str, object] = {"images": images.digest, "seed": seed}
        log = TrainingLog(work / LOG, COLUMNS)
        workshop = Workshop(work, self.budget, torch.device("cpu"), log, identity, progress)
        torch.manual_seed(seed)
        vae = new_vae(self.size)
        train_encoder(vae, code, images, workshop)
        torch.manual_seed(seed + 1)
        train_decoder(vae, code, images, None, workshop)
        return vae


def _facts(examples: Examples) -> dict[str, object]:
    rows, cells = examples.data.rows, examples.cells
    return {
        "phantom": bool((rows["origin"] == "phantom").any()),
        "classes": sorted(set(rows["class"])),
        "groups": examples.data.groups or None,
        "prompt_template": examples.template,
        "lineage": lineage_of(examples.data),
        "lineage_sha256": {id: examples.digests[id] for id in sorted(rows["id"])},
        "validation_prompts": [
            {"prompt": examples.prompts[prompt], "class": label, "group": group}
            for label, group, prompt in zip(cells["class"], cells["group"], cells["prompt"], strict=True)
        ],
    }
