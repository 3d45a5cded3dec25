"""The student as a pipeline folder: its teacher's parts, its own UNet and scheduler, and the images behind both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from diffusers import LCMScheduler

from engines.facts import read_facts
from gen.distill.consistency import TIMESTEP_SCALING
from gen.distill.settings import Distillation
from gen.finetune.output import Record, TunedPipeline

#: What a student knows because its teacher does: words and cells.
INHERITED = ("classes", "groups", "prompt_template", "validation_prompts")


class DistilledPipeline(TunedPipeline):
    """What a run of distillation made."""

    record: ClassVar[Record] = Record("distill", "a distilled pipeline")
    settings: Distillation

    def write_parts(self, folder: Path, keep_adapter: bool) -> None:
        super().write_parts(folder, keep_adapter)
        config = {"time_cond_proj_dim": self.network.denoiser.config["time_cond_proj_dim"]}
        _change(folder / "unet" / "config.json", {k: v for k, v in config.items() if v is not None})
        scheduler = LCMScheduler.from_config(
            {**self.base.spec.scheduler, "clip_sample": False},
            original_inference_steps=self.settings.teacher_steps,
            timestep_scaling=TIMESTEP_SCALING,
        )
        scheduler.save_pretrained(folder / "scheduler")
        _change(folder / "model_index.json", {"scheduler": ["diffusers", "LCMScheduler"]})

    def facts(self) -> dict[str, Any]:
        known, inherited = super().facts(), read_facts(self.base.folder)
        known |= {name: inherited[name] for name in INHERITED if inherited.get(name)}
        return known | {"few_steps": self.settings.few()}

    def card(self) -> str:
        settings, few = self.settings, self.settings.few()
        low, high = settings.guidance
        scale = f"from {low:g} to {high:g}, which is its input" if settings.embedded else f"of {low:g}, for good"
        return f"""# A distilled pipeline

It draws in {few["steps"]} steps of LCM. `gen distill --method {settings.method}` taught it (latent consistency
distillation, arXiv 2310.04378) from the pipeline of digest `{self.base.digest}`, whose licence holds here too: guidance
{scale}; {settings.teacher_steps} steps of its solver; {self.steps} steps of {settings.batch} images, learning rate
{settings.learning_rate:g}, {self.base.spec.size} px. The log is `training/log.csv`.

In diffusers give `num_inference_steps={few["steps"]}, guidance_scale={few["guidance"]:g}`.

Distillation narrows what a model draws. Compare with the teacher before you use the images: `evalsuite use` does it
for two sets of shards of the same plan.

Lineage: `dermforge.json` names every real image behind these weights, the teacher's and the {len(self.examples)} of
this run. Images made with them must not be used to train a classifier that is tested on one of those images.
{self.caution()}"""


def _change(path: Path, values: dict[str, Any]) -> None:
    if values:
        content = json.loads(path.read_text(encoding="utf-8")) | values
        path.write_text(json.dumps(content, indent=2, sort_keys=path.name != "config.json") + "\n", encoding="utf-8")
