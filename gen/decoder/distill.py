"""One run: a pipeline and real images in, the folder of a small decoder out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from dermforge.common.progress import Progress, silent
from engines.find_model import resolve
from engines.pipeline_spec import model_digest, read_spec
from gen.decoder import output
from gen.decoder.settings import DecoderSettings
from gen.decoder.student import LatentBatches, distance, images_of, new_student
from gen.finetune.base import Base
from gen.finetune.data.batches import LatentSource
from gen.finetune.data.examples import Examples, make_examples, training_rows
from gen.finetune.data.holdout import Holdout, of_splits
from gen.finetune.data.latents import Latents
from gen.finetune.data.views import Views
from gen.finetune.output import finished
from gen.finetune.settings import Execution
from gen.finetune.trainer import Training
from gen.finetune.work import LATENTS, Work
from shards.format.reader import ImageSet

#: No image has a prompt here; all are the same to the data road of fine-tuning.
TEMPLATE = "An image"


@dataclass(frozen=True)
class DecoderTask:
    """Whose VAE is learnt from, on which images, and where the result goes; work: by default OUT.work."""

    model: str | Path
    data: ImageSet
    out: Path
    holdout: Holdout = field(default_factory=Holdout)
    work: Path | None = None

    @property
    def folder(self) -> Path:
        return self.work or self.out.with_name(f"{self.out.name}.work")


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
    task: DecoderTask,
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
    already = finished(task.out, output.RECORD, run.identity, settings.steps, execution.fresh)
    already = already and not execution.fresh
    work = Work(task.folder)
    work.claim()
    if not already:
        student = run.train(work)
        if accelerator.is_main_process:
            work.mark(spent=not execution.keep_work)
            output.write(student.cpu(), run.base, run.examples, run.identity, settings.steps, task.out, work.records())
        accelerator.wait_for_everyone()
        accelerator.free_memory()
    if accelerator.is_main_process:
        work.remove_if_spent()
    images = len(run.examples)
    return DecoderResult(str(task.out), images, task.data.n - images, settings.steps, run.width, already)


@dataclass(frozen=True)
class _Run:
    task: DecoderTask
    settings: DecoderSettings
    execution: Execution
    accelerator: Accelerator
    progress: Progress
    say: Callable[[str], None]

    @cached_property
    def base(self) -> Base:
        """The pipeline, of which the VAE alone is loaded."""
        folder = resolve(self.task.model)
        spec = read_spec(folder, self.settings.size)
        spec = spec.model_copy(update={"unet_in_channels": spec.latent_channels})  # no mask is decoded
        return Base(folder, spec, model_digest(folder), self.accelerator.device)

    @cached_property
    def examples(self) -> Examples:
        """The images, none of which is held out."""
        data = training_rows(self.task.data)
        held_out = self.task.holdout | of_splits(self.task.data)
        held_out.check(data.rows, {})
        held_out.check_lineage(self.base.spec.lineage, "the model")
        with self.progress("check images", data.n) as tick:
            chosen = make_examples(data, TEMPLATE, tick, one_for_all=True)
        held_out.check(data.rows, chosen.digests)
        return chosen

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

    def train(self, work: Work) -> Any:
        """The trained decoder."""
        if self.accelerator.is_main_process:
            work.begin(self.execution.fresh)
        self.accelerator.wait_for_everyone()
        device, settings = self.accelerator.device, self.settings
        vae = self.base.vae.to(device)
        source = LatentSource("real", self._latents(), self.examples.prompt)
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
        )
        training.run(lambda step: None, self.progress, self.say)
        return self.student

    def _latents(self) -> Latents:
        """The encoded views; each process computes a part of what is missing."""
        views = Views(self.base.spec.size, self.settings.seed)
        identity = {"model": self.base.digest, "data": self.examples.digest} | asdict(views)
        cache = Latents(self.task.folder / LATENTS / "real", identity, self.settings.views_for(len(self.examples)))
        own = cache.missing()[self.accelerator.process_index :: self.accelerator.num_processes]
        self.accelerator.wait_for_everyone()  # all have looked before one writes
        with self.progress("encode views", len(own) * len(self.examples)) as tick:
            for number in own:
                cache.encode(number, self.examples, views, self.base, tick)
        self.accelerator.wait_for_everyone()
        return cache
