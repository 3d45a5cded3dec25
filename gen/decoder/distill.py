"""One run: a pipeline and real images in, the folder of a small decoder out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from accelerate import Accelerator

from dermforge.common.progress import Progress, silent
from dermforge.common.tracking import Tracking, tracked
from gen.decoder import output
from gen.decoder.settings import DecoderSettings
from gen.decoder.student import LatentBatches, distance, images_of, new_student
from gen.finetune.base import Base, load_base, read_base
from gen.finetune.data.batches import LatentSource
from gen.finetune.data.examples import Examples
from gen.finetune.data.latents import encoded_views
from gen.finetune.data.views import Views
from gen.finetune.output import finished
from gen.finetune.settings import Execution
from gen.finetune.task import Task
from gen.finetune.trainer import Training
from gen.finetune.work import LATENTS, Work

#: No image has a prompt here; all are the same to the data road of fine-tuning.
TEMPLATE = "An image"


@dataclass(frozen=True)
class DecoderResult:
    """What a run did. steps: reached; already: it had been done before."""

    out: str
    images: int
    left_out: int
    steps: int
    width: int
    already: bool


def distill_decoder(
    task: Task,
    settings: DecoderSettings,
    execution: Execution,
    accelerator: Accelerator,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> DecoderResult:
    """Train a small decoder on the training images of a set and write it; an interrupted run resumes.

    Raises
    ------
    UserError, EngineError
        Something is wrong with the model, the images or the settings, or a run was begun with others.
    CheckFailed
        The shards are damaged, or the loss is not finite.
    """
    run = _Run(task, settings, execution, accelerator, progress, say)
    already = finished(task.out, output.RECORD, run.identity, settings.steps, execution.fresh, settings.later)
    work = Work(task.folder)

    def write(student: Any) -> None:
        output.write(student.cpu(), run.base, run.examples, run.identity, settings.steps, task.out, work.records())

    images = len(run.examples)
    tools = execution.track if accelerator.is_main_process and not already else ()
    told = run.identity | {"images": images}
    with tracked(tools, task.out, output.RECORD.key, told, execution.fresh) as tracking:
        work.carry_out(accelerator, None if already else partial(run.train, tracking), write, execution.keep_work)
    return DecoderResult(str(task.out), images, task.data.n - images, settings.steps, run.width, already)


@dataclass(frozen=True)
class _Run:
    task: Task
    settings: DecoderSettings
    execution: Execution
    accelerator: Accelerator
    progress: Progress
    say: Callable[[str], None]

    @cached_property
    def base(self) -> Base:
        """The pipeline, of which the VAE alone is loaded."""
        folder, spec = read_base(self.task.model, self.settings.size)
        spec = spec.model_copy(update={"unet_in_channels": spec.latent_channels})  # no mask is decoded
        return load_base(folder, spec, self.accelerator.device)

    @cached_property
    def examples(self) -> Examples:
        """The images, none of which is held out."""
        return self.task.examples(TEMPLATE, self.base.spec.lineage, self.progress, one_for_all=True)

    @cached_property
    def student(self) -> Any:
        return new_student(self.base.vae, self.base.spec, self.settings)

    @property
    def width(self) -> int:
        return int(self.student.config.decoder_block_out_channels[0])

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and a finished decoder must agree in."""
        more = {"model": self.base.digest, "data": self.examples.digest, "size": self.base.spec.size}
        return self.settings.identity() | more | {"width": self.width}

    def train(self, tracking: Tracking) -> Any:
        """The trained decoder."""
        work = Work(self.task.folder)
        if self.accelerator.is_main_process:
            work.begin(self.execution.fresh)
        self.accelerator.wait_for_everyone()
        device, settings = self.accelerator.device, self.settings
        vae = self.base.vae.to(device)
        views, wanted = Views(self.base.spec.size, settings.seed), settings.views_for(len(self.examples))
        place = work.folder / LATENTS / "real"
        latents = encoded_views(
            place, wanted, self.base, self.examples, views, self.accelerator, self.progress, self.say
        )
        source = LatentSource("real", latents, self.examples.prompt)
        training = Training(
            self.accelerator,
            self.student.decoder,
            LatentBatches(source, settings.seed, settings.batch),
            distance(images_of(vae, self.base.spec)),
            settings,
            replace(self.execution, validate_every=0),
            settings.steps,
            self.identity,
            work.folder,
            "distil the decoder",
            log=tracking.metrics,
        )
        training.run(lambda step: None, self.progress, self.say)
        return self.student
