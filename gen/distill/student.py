"""The student: a copy of the teacher's UNet that learns to jump to clean latents, and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Self

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.func import functional_call

from dermforge.common.errors import UserError
from engines.models.guidance import embedded_facts
from engines.pipeline_spec import PipelineSpec
from gen.distill.consistency import ConsistencyObjective, pseudo_huber
from gen.distill.settings import Distillation
from gen.finetune.base import Base
from gen.finetune.data.batches import Batch
from gen.finetune.data.examples import Examples
from gen.finetune.methods import PromptedDenoiser, add_low_rank
from gen.finetune.text import FrozenText, frozen_text

#: Dimensions of the guidance scale's embedding, as in diffusers' example (`unet_time_cond_proj_dim`).
GUIDANCE_DIMENSIONS = 256
#: What LoRA changes, as in diffusers' example for LCM-LoRA (arXiv 2311.05556): more than attention alone.
MODULES = [
    *("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj"),
]


class Student(PromptedDenoiser):
    """noisy, timesteps, numbers of prompts and, where it is an input, guidance scales [b] -> prediction.

    Attributes
    ----------
    teacher
        The UNet before training; it does not change.
    empty
        The number of the empty prompt, which guidance is the distance from.
    """

    def __init__(
        self,
        teacher: UNet2DConditionModel,
        student: UNet2DConditionModel,
        text: FrozenText,
        base: Base,
        prompts: Sequence[str],
        objective: ConsistencyObjective,
        settings: Distillation,
    ) -> None:
        super().__init__(student, text, base.spec, prompts)
        self.teacher, self.settings = teacher.requires_grad_(False), settings
        self.objective = objective
        self.empty = len(self.prompts) - 1
        self.average: list[Tensor] | None = None

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, noisy: Tensor, timesteps: Tensor, which: Tensor, guidance: Tensor | None = None) -> Tensor:
        told = self.text(which)
        if self.settings.embedded and guidance is not None:
            told["guidance"] = guidance
        return self.predicted(self.denoiser, noisy, timesteps, told)

    def averages(self, averages: list[Tensor]) -> None:
        self.average = averages

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The distance of what the student and its average say, at two neighbours on a path of the guided teacher."""
        objective, settings = self.objective, self.settings
        low, high = settings.guidance
        guidance = low + batch.chance * (high - low)
        channels = self.teacher.config["out_channels"]
        noisy, extra = batch.noisy[:, :channels], batch.noisy[:, channels:]
        said = objective.consistent(
            model(batch.noisy, batch.timesteps, batch.prompt, guidance).float(), noisy, batch.timesteps
        )
        with torch.no_grad():
            out = self.guided(batch.noisy, batch.timesteps, batch.prompt, guidance)
            before, nearer = objective.before(batch.timesteps), objective.solved(out, noisy, batch.timesteps)
            arrays = (torch.cat([nearer, extra], dim=1), before, batch.prompt, guidance)
            target = objective.consistent(self.averaged(*arrays).float(), nearer, before)
        return torch.mean(pseudo_huber(said, target, settings.huber) * batch.weight)

    def guided(self, noisy: Tensor, timesteps: Tensor, which: Tensor, guidance: Tensor) -> Tensor:
        """The teacher's prediction with classifier-free guidance (arXiv 2207.12598), float32 [b, C, h, w]."""
        both = self.text(torch.cat([which, torch.full_like(which, self.empty)]))
        rows, times = torch.cat([noisy, noisy]), torch.cat([timesteps, timesteps])
        conditional, unconditional = self.predicted(self.teacher, rows, times, both).float().chunk(2)
        out: Tensor = unconditional + guidance.reshape(-1, 1, 1, 1) * (conditional - unconditional)
        return out

    def averaged(self, *arrays: Tensor) -> Tensor:
        """The prediction of the averaged weights, or of the student's own where there is no average."""
        if self.average is None:
            own: Tensor = self(*arrays)
            return own
        names = [name for name, value in self.named_parameters() if value.requires_grad]
        out: Tensor = functional_call(self, dict(zip(names, self.average, strict=True)), arrays)
        return out

    def drawn_as(self, spec: PipelineSpec) -> PipelineSpec:
        """The pipeline's numbers with the student's guidance."""
        return distilled(spec, self.settings)


def distilled(spec: PipelineSpec, settings: Distillation) -> PipelineSpec:
    """The numbers of a pipeline whose guidance is distilled into its UNet."""
    if not settings.embedded:
        return spec.model_copy(update={"guidance": "none"})
    facts = embedded_facts(GUIDANCE_DIMENSIONS)
    conditioning = dict(spec.conditioning) | facts["conditioning"]
    return spec.model_copy(
        update=facts | {"conditioning": conditioning, "constants": spec.constants | facts["constants"]}
    )


def new_student(base: Base, examples: Examples, settings: Distillation) -> Student:
    """A student that predicts what its teacher does, before it is trained.

    Raises
    ------
    UserError
        Guidance is distilled into the pipeline already.
    """
    if base.spec.guidance != "classifier-free":
        raise UserError(
            f"{base.folder} is distilled already (guidance: {base.spec.guidance}): distil what it was made from"
        )
    if base.spec.denoiser != "unet" or base.family.flow:
        raise UserError(f"{base.folder} is of {base.family.title}; distillation knows UNets of diffusion")
    prompts = [*examples.prompts, ""]
    text, teacher = frozen_text(base, prompts), base.denoiser
    unet = deepcopy(teacher) if not settings.embedded else with_guidance_input(teacher)
    if settings.method == "lora":
        add_low_rank(unet, settings.rank, settings.seed, MODULES)
    else:
        unet.requires_grad_(True)
    objective = ConsistencyObjective(base.spec.scheduler, settings.teacher_steps, settings.weighting)
    return Student(teacher, unet, text, base, prompts, objective, settings)


def with_guidance_input(teacher: UNet2DConditionModel) -> UNet2DConditionModel:
    """A copy with one more input, the embedded guidance scale; its weights are zero, so it predicts what it did."""
    unet = UNet2DConditionModel.from_config(dict(teacher.config) | {"time_cond_proj_dim": GUIDANCE_DIMENSIONS})
    unet.load_state_dict(teacher.state_dict(), strict=False)
    nn.init.zeros_(unet.time_embedding.cond_proj.weight)
    result: UNet2DConditionModel = unet.to(teacher.device)
    return result
