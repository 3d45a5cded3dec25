"""One fine-tuning run from the paths a user gives to the folder it leaves."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from dermforge.common import console
from dermforge.common.errors import UserError
from engines.pipeline_spec import PipelineSpec
from engines.silence import quiet
from gen.finetune import methods, output, validation
from gen.finetune.base import Base, load_base, read_base
from gen.finetune.data import latents
from gen.finetune.data.batches import Batches, LatentSource
from gen.finetune.data.examples import Examples, data_digest, examples, lineage_of, training_rows
from gen.finetune.data.holdout import Holdout, of_splits
from gen.finetune.methods import PromptedUNet
from gen.finetune.objective import Objective
from gen.finetune.settings import Execution, Hyperparameters
from gen.finetune.trainer import LOG, Training
from gen.plan import prompts
from shards.format.reader import ImageSet
from shards.ingest.folder import FolderSet

#: Of a tracker that writes files, in the folder of the run.
TRACKING = "tracking"


@dataclass(frozen=True)
class FinetuneResult:
    """What a run did. steps: reached; already: it had been done before."""

    out: str
    images: int
    left_out: int
    prompts: int
    steps: int
    already: bool


def new_accelerator(settings: Hyperparameters, execution: Execution) -> Accelerator:
    """Devices, precision and trackers, as the machine and accelerate's own launcher say.

    Raises
    ------
    UserError
        fp16 without a GPU, a tracker that is not installed, or sharded training.
    """
    if settings.mixed_precision == "fp16" and not torch.cuda.is_available():
        raise UserError("--mixed-precision fp16 needs a CUDA device, and there is none here; use no or bf16")
    if execution.track and execution.track not in ("tensorboard", "wandb"):
        raise UserError(f"unknown tracker {execution.track!r}; expected tensorboard or wandb")
    if execution.track and importlib.util.find_spec(execution.track) is None:
        raise UserError(f"--track {execution.track} needs it installed: pip install {execution.track}")
    # each run tracks in its own folder, which is not known yet
    accelerator = Accelerator(mixed_precision=settings.mixed_precision, log_with=execution.track, project_dir=TRACKING)
    allowed = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)
    if accelerator.distributed_type not in allowed:
        raise UserError(
            f"training over {accelerator.distributed_type.value} is not supported; start it with torchrun, "
            "or with accelerate launch --multi_gpu"
        )
    console.err.quiet = not accelerator.is_main_process
    return accelerator


def tune(
    model: str | Path,
    data: ImageSet,
    out: Path,
    settings: Hyperparameters,
    execution: Execution,
    accelerator: Accelerator,
    *,
    holdout: Holdout | None = None,
    work: Path | None = None,
) -> FinetuneResult:
    """Tune a pipeline on the training images of a set and write it to `out`; goes on from `work` if it was begun.

    Parameters
    ----------
    holdout
        Images that must not be trained on, beside the set's own validation and test images.
    work
        Checkpoint, cached latents, log and sheets; OUT.work by default.

    Raises
    ------
    UserError, EngineError
        Anything wrong with the model, the images, the settings, or a run that was begun with others.
    CheckFailed
        Damaged shards, or a loss that is not finite.
    """
    work = work or out.with_name(f"{out.name}.work")
    folder, spec = read_base(model, settings.size)
    chosen = _examples(data, spec, settings, holdout or Holdout())
    base = load_base(folder, spec)
    words = _words(chosen) if settings.method == "textual-inversion" else []
    identity = settings.identity() | {"model": base.digest, "data": data_digest([chosen]), "size": spec.size}
    steps = settings.steps_for(len(chosen))
    if output.finished(out, identity, steps) and not execution.fresh:
        return FinetuneResult(str(out), len(chosen), data.n - len(chosen), len(chosen.prompts), steps, True)
    denoiser = _denoiser(base, chosen, settings, words)
    if execution.gradient_checkpointing:
        denoiser.unet.enable_gradient_checkpointing()
    _begin(accelerator, execution, identity, work)
    sources = _sources(base, chosen, settings, accelerator, work)
    empty = len(chosen.prompts) + bool(settings.prior)
    batches = Batches(sources, Objective(spec.scheduler), settings.seed, settings.batch, settings.drop_prompt, empty)
    Training(accelerator, denoiser, batches, settings, execution, steps, identity, work).run(
        _validator(base, chosen, settings, execution, accelerator, work)
    )
    for tracker in accelerator.trackers:
        tracker.finish()
    accelerator.trackers.clear()
    if accelerator.is_main_process:
        denoiser.cpu()
        output.write(
            out,
            base,
            denoiser,
            chosen,
            settings,
            words,
            identity=identity,
            steps=steps,
            keep_adapter=execution.keep_adapter,
        )
        _keep_records(work, out)
        if not execution.keep_work:
            shutil.rmtree(work)
    accelerator.wait_for_everyone()
    accelerator.free_memory()
    return FinetuneResult(str(out), len(chosen), data.n - len(chosen), len(chosen.prompts), steps, False)


def _examples(data: ImageSet, spec: PipelineSpec, settings: Hyperparameters, holdout: Holdout) -> Examples:
    rows = training_rows(data)
    template = settings.template or spec.prompt_template or prompts.template_for(rows.groups)
    if settings.method == "textual-inversion":
        if "{class}" not in template:
            raise UserError(
                f"textual inversion learns a word for each class, and the template {template!r} has no {{class}}"
            )
        if settings.prior:
            raise UserError(
                "--prior keeps a UNet from forgetting, and textual inversion does not change it; leave it out"
            )
        if "<{class}>" not in template:
            template = template.replace("{class}", "<{class}>")
    held_out = holdout | of_splits(data)
    held_out.check(rows.rows, {})
    held_out.check_lineage(spec.lineage, "the base model")
    held_out.check_lineage(lineage_of(rows), f"the model that drew images of {data}")
    chosen = examples(rows, template)
    held_out.check(rows.rows, chosen.digests)
    return chosen


def _words(chosen: Examples) -> list[str]:
    return [f"<{label.replace('_', ' ')}>" for label in sorted(set(chosen.data.rows["class"]))]


def _denoiser(base: Base, chosen: Examples, settings: Hyperparameters, words: list[str]) -> PromptedUNet:
    texts = [*chosen.prompts, *([settings.prior_prompt] if settings.prior else []), ""]
    if settings.method == "full":
        return methods.full(base, texts)
    if settings.method == "lora":
        return methods.lora(base, texts, settings.rank, settings.seed)
    return methods.textual_inversion(base, texts, words)


def _begin(accelerator: Accelerator, execution: Execution, identity: dict[str, Any], work: Path) -> None:
    if accelerator.is_main_process:
        if execution.fresh:
            shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    if execution.track:
        settings = identity | asdict(execution)
        config = {k: v if isinstance(v, int | float | str) else str(v) for k, v in settings.items()}
        accelerator.project_configuration.logging_dir = str(work / TRACKING)
        accelerator.init_trackers("dermforge-finetune", config=config)


def _sources(
    base: Base, chosen: Examples, settings: Hyperparameters, accelerator: Accelerator, work: Path
) -> list[LatentSource]:
    """The real images' cached views and, where asked for, those of the prior images."""
    vae = base.pipeline.vae.to(accelerator.device)
    sources = [_source("real", base, chosen, chosen.prompt, settings, accelerator, work)]
    if settings.prior:
        folder = work / "prior"
        if accelerator.is_main_process:
            base.pipeline.unet.to(accelerator.device)
            validation.prior_images(base, settings, folder)
        accelerator.wait_for_everyone()
        prior = examples(FolderSet.open(folder), settings.prior_prompt)
        sources.append(
            _source(
                "prior",
                base,
                prior,
                prior.prompt + len(chosen.prompts),
                settings,
                accelerator,
                work,
                settings.prior_weight,
            )
        )
    vae.cpu()
    return sources


def _source(
    name: str,
    base: Base,
    chosen: Examples,
    prompt: Any,
    settings: Hyperparameters,
    accelerator: Accelerator,
    work: Path,
    weight: float = 1.0,
) -> LatentSource:
    identity = {
        "model": base.digest,
        "data": data_digest([chosen]),
        "size": base.spec.size,
        "seed": settings.seed,
        "jitter": settings.jitter,
    }
    cache = latents.Latents(work / "latents" / name, identity, settings.views_for(len(chosen)))
    own = cache.missing()[accelerator.process_index :: accelerator.num_processes]
    accelerator.wait_for_everyone()  # all have looked before one writes
    latents.encode(cache, chosen, own, base.pipeline.vae, base.spec, seed=settings.seed, jitter=settings.jitter)
    accelerator.wait_for_everyone()
    return LatentSource(name, cache, prompt, weight)


def _validator(
    base: Base, chosen: Examples, settings: Hyperparameters, execution: Execution, accelerator: Accelerator, work: Path
) -> Callable[[int], None]:
    def validate(step: int) -> None:
        if accelerator.is_main_process:
            path = work / "validation" / f"step-{step:06d}.png"
            with accelerator.autocast(), quiet():
                page = validation.sheet(
                    base, chosen, path, settings.seed, execution.validation_steps, execution.guidance
                )
            for tracker in accelerator.trackers:
                if tracker.name == "tensorboard":
                    tracker.log_images({"validation": page[None]}, step=step, dataformats="NHWC")
                else:
                    tracker.log_images({"validation": [page]}, step=step)
        accelerator.wait_for_everyone()

    return validate


def _keep_records(work: Path, out: Path) -> None:
    """The log, the sheets and what a tracker wrote stay with the model that they are about."""
    (out / "training").mkdir()
    shutil.copyfile(work / LOG, out / "training" / LOG)
    if (work / TRACKING).is_dir():
        shutil.copytree(work / TRACKING, out / "training" / TRACKING)
    for path in sorted((work / "validation").glob("*.png")):
        shutil.copyfile(path, out / "training" / path.name)
