"""One fine-tuning run, from a task to the pipeline folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn

from dermforge.common.errors import UserError
from dermforge.common.progress import Progress, silent
from dermforge.common.tracking import Tracking, check_tools, tracked
from engines.pipeline_spec import PipelineSpec, model_digest
from engines.silence import quiet
from gen.finetune import methods, output, validation
from gen.finetune.base import Base, load_base, read_base
from gen.finetune.data.batches import Batch, Batches, LatentSource
from gen.finetune.data.examples import Examples, make_examples, training_rows
from gen.finetune.data.latents import Latents, encoded_views
from gen.finetune.data.views import Views
from gen.finetune.lesson import FINE_TUNING, Lesson
from gen.finetune.offered import check_offered
from gen.finetune.settings import Execution, Hyperparameters
from gen.finetune.task import Task
from gen.finetune.trainer import Optimisation, Training
from gen.finetune.work import LATENTS, PRIOR, VALIDATION, Work
from gen.plan import prompts
from shards.ingest.folder import FolderSet


@dataclass(frozen=True)
class FinetuneResult:
    """What a run did. steps: reached; already: it had been done before."""

    out: str
    images: int
    left_out: int
    prompts: int
    steps: int
    already: bool


def new_accelerator(settings: Optimisation, execution: Execution) -> Accelerator:
    """Devices and precision, as the machine and accelerate's own launcher say.

    Raises
    ------
    UserError
        fp16 without a GPU, a tracker that is not installed, or sharded training.
    """
    if settings.mixed_precision == "fp16" and not torch.cuda.is_available():
        raise UserError("mixed precision fp16 needs a CUDA device, and there is none here; use no or bf16")
    check_tools(execution.track)
    accelerator = Accelerator(mixed_precision=settings.mixed_precision)
    allowed = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)
    if accelerator.distributed_type not in allowed:
        raise UserError(
            f"training over {accelerator.distributed_type.value} is not supported; start it with torchrun, "
            "or with accelerate launch --multi_gpu"
        )
    return accelerator


def tune(
    task: Task,
    settings: Hyperparameters,
    execution: Execution,
    accelerator: Accelerator,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
    lesson: Lesson = FINE_TUNING,
) -> FinetuneResult:
    """Tune a pipeline on the training images of a set and write it; an interrupted run resumes.

    Parameters
    ----------
    say
        Called with where the run resumes, if it does.
    lesson
        Fine-tuning, or another one that is taught by the same images.

    Raises
    ------
    UserError, EngineError
        Something is wrong with the model, the images or the settings, or a run was begun with others.
    CheckFailed
        The shards are damaged, or the loss is not finite.
    """
    folder, spec = read_base(task.model, settings.size)
    check_offered(spec, settings, execution)
    chosen = _examples(task, spec, settings, progress)
    base = load_base(folder, spec, accelerator.device)
    run = _Run(base, chosen, settings, execution, accelerator, task.folder, progress, say, lesson)
    already = output.finished(task.out, lesson.result.record, run.identity, run.steps, execution.fresh, settings.later)
    work = Work(task.folder)

    def write(network: methods.PromptedDenoiser) -> None:
        tuned = lesson.result(run.base, network.cpu(), chosen, settings, run.identity, run.steps)
        tuned.write(task.out, execution.keep_adapter, work.records())

    main, what = accelerator.is_main_process, lesson.result.record.key
    tools = execution.track if main and not already else ()
    with tracked(tools, task.out, what, run.identity | {"images": len(chosen)}, execution.fresh) as tracking:
        work.carry_out(accelerator, None if already else partial(run.train, tracking), write, execution.keep_work)
        if tracking.trackers:
            tracking.outcome({"pipeline": model_digest(task.out)})
    left_out = task.data.n - len(chosen)
    return FinetuneResult(str(task.out), len(chosen), left_out, len(chosen.prompts), run.steps, already)


def _examples(task: Task, spec: PipelineSpec, settings: Hyperparameters, progress: Progress) -> Examples:
    data = training_rows(task.data)
    template = settings.template or spec.prompt_template or prompts.template_for(data.groups)
    if "{class}" in template and isinstance(data, FolderSet) and not data.labelled:
        raise UserError(
            f"{data} names no class of its images, which the prompts name: add a table with a column of file names and "
            "one of classes, sort the images into a folder a class, or give a template without {class}"
        )
    if settings.method == "textual-inversion":
        if "{class}" not in template:
            raise UserError(
                f"textual inversion learns a word for each class, and the template {template!r} has no {{class}}"
            )
        if settings.prior:
            raise UserError(
                "prior images keep a denoiser from forgetting, and textual inversion does not change it; leave them out"
            )
        if "<{class}>" not in template:
            template = template.replace("{class}", "<{class}>")
    return task.examples(template, spec.lineage, progress, one_for_all=settings.template is not None)


@dataclass(frozen=True)
class _Run:
    base: Base
    examples: Examples
    settings: Hyperparameters
    execution: Execution
    accelerator: Accelerator
    work: Path
    progress: Progress
    say: Callable[[str], None]
    lesson: Lesson

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and a finished pipeline must agree in."""
        more = {"model": self.base.digest, "data": self.examples.digest, "size": self.base.spec.size}
        return self.settings.identity(self.steps) | more

    @property
    def steps(self) -> int:
        return self.settings.steps_for(len(self.examples))

    @cached_property
    def network(self) -> methods.PromptedDenoiser:
        """The network that is trained, with every prompt that it is ever told."""
        return self.lesson.network(self.base, self.examples, self.settings)

    def train(self, tracking: Tracking) -> methods.PromptedDenoiser:
        """The trained network."""
        network = self.network
        if self.execution.gradient_checkpointing:
            network.denoiser.enable_gradient_checkpointing()
        self._begin()
        settings, dropped = self.settings, len(network.prompts) - 1
        objective = self.lesson.objective(self.base.spec, self.settings)
        batches = Batches(self._sources(), objective, settings.seed, settings.batch, settings.drop_prompt, dropped)
        of_batch = self.lesson.loss(network, batches)

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            with self.accelerator.autocast():  # of what a lesson calls beside the network, too
                return of_batch(model, batch)

        training = Training(
            self.accelerator,
            network,
            batches,
            loss,
            settings,
            self.execution,
            self.steps,
            self.identity,
            self.work,
            self.lesson.name,
            network.averages,
            tracking.metrics,
        )
        training.run(self._validate, self.progress, self.say)
        return network

    def _begin(self) -> None:
        if self.accelerator.is_main_process:
            Work(self.work).begin(self.execution.fresh)
        self.accelerator.wait_for_everyone()

    def _sources(self) -> list[LatentSource]:
        """The real images' cached views and, where asked for, those of the prior images."""
        vae = self.base.vae.to(self.accelerator.device)
        latents = self._latents("real", self.examples)
        sources = [LatentSource("real", latents, self.examples.prompt)]
        if self.settings.prior:
            folder = self.work / PRIOR
            if self.accelerator.is_main_process:
                validation.prior_images(self.base, self.network, self.settings, folder, self.progress)
            self.accelerator.wait_for_everyone()
            prior = make_examples(FolderSet.open(folder), self.settings.prior_prompt)
            number, weight = prior.prompt + len(self.examples.prompts), self.settings.prior_weight
            sources.append(LatentSource("prior", self._latents("prior", prior), number, weight))
        vae.cpu()
        return sources

    def _latents(self, name: str, examples: Examples) -> Latents:
        """The cached views of some images."""
        views = Views(self.base.spec.size, self.settings.seed, self.settings.jitter)
        wanted, folder = self.settings.views_for(len(examples)), self.work / LATENTS / name
        return encoded_views(folder, wanted, self.base, examples, views, self.accelerator, self.progress, self.say)

    def _validate(self, step: int) -> None:
        if self.accelerator.is_main_process:
            path = self.work / VALIDATION / f"step-{step:06d}.png"
            drawn = {"steps": self.execution.validation_steps, "guidance": self.execution.guidance}
            drawn |= self.lesson.drawn(self.settings)
            with self.accelerator.autocast(), quiet():
                validation.sheet(self.base, self.network, self.examples, path, self.settings.seed, drawn)
        self.accelerator.wait_for_everyone()
