"""Real images, a generator for each base, size and seed that was tuned on those of its arm only, and what it draws.

Every step is skipped where its result is there, and resumes where it was stopped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.measure.bundles import Wanted
from bench.suites.published_study.own_base import OwnImages
from bench.suites.published_study.settings import TUNING, VAE_BUDGET, Base, StudySettings
from dermforge.common.errors import UserError
from dermforge.common.progress import Progress, silent
from dermforge.common.whole_folder import whole_folder
from engines.checkpoint.weights import write_weights
from gen.builtin import pipeline_folder
from gen.builtin.model import new_unet
from gen.finetune.settings import Execution
from gen.finetune.task import Task
from gen.finetune.tune import new_accelerator, tune
from gen.phantoms.dataset import PhantomSplit
from gen.plan.grid import GenerationSettings
from gen.plan.parents import Parents
from gen.plan.request import CellRequest, new_plan
from gen.sampling import run_record
from gen.sampling.workers import SamplingJob
from shards.format.reader import ShardSet
from shards.format.schema import Split
from shards.mixing.sampling_order import few_per_class
from shards.tools.select import select

INFO = "_info.json"  # the last file of a set of shards
ROWS = 32


@dataclass(frozen=True)
class Generators:
    """The images of a study, made where they are asked for.

    Attributes
    ----------
    work
        Folder of all that is made.
    photographs
        Folder of the real photographs that take the place of phantoms.
    say
        Called with each step as it begins.
    """

    work: Path
    settings: StudySettings
    photographs: Path | None = None
    progress: Progress = silent
    say: Callable[[str], None] = lambda text: None

    def real(self) -> Path:
        """The real images: a folder with train/, validation/ and test/."""
        if self.photographs is not None:
            return self.photographs
        folder = self.work / "real"
        splits: tuple[Split, ...] = ("train", "validation", "test")
        for split, per_cell in zip(splits, self.settings.per_cell, strict=True):
            if not (folder / split / INFO).exists():
                one = PhantomSplit(split, per_cell, self.settings.phantom_seed)
                with self.progress(f"phantoms: {split}", one.images) as tick:
                    one.write(folder, tick)
        return folder

    def refuse_too_many(self) -> None:
        """Refuse more real images of each class than there are, before anything is trained.

        Raises
        ------
        UserError
            A class has fewer.
        """
        classes = ShardSet.open(self.real() / "train").rows["class"].value_counts()
        if (most := max(self.settings.sizes)) > classes.min():
            raise UserError(
                f"{most} real images of each class are asked for, and {classes.idxmin()} has {classes.min()}: "
                "ask for no more"
            )

    def place(self, base: Base, n: int, seed: int) -> Path:
        """Where the synthetic images of a generator are, or will be."""
        return self.work / "drawn" / base / f"n{n}-s{seed}"

    def few(self, n: int, seed: int) -> Path:
        """The real images of the arms of a size and a seed, as the study draws them."""
        folder = self.work / "few" / f"n{n}-s{seed}"
        if not (folder / INFO).exists():
            train = ShardSet.open(self.real() / "train")
            select(train.take(few_per_class(train.rows, n, seed)), folder)
        return folder

    def base(self, name: Base, n: int, seed: int) -> Path:
        """The pipeline that a generator is tuned from."""
        if name == "other-phantoms":
            return pipeline_folder()
        if name == "own-images":
            return self._own(n, seed)
        folder = self.work / "base-none"
        if not folder.exists():
            torch.manual_seed(self.settings.phantom_seed)
            with whole_folder(folder) as partial:
                shutil.copytree(pipeline_folder(), partial, dirs_exist_ok=True)
                write_weights(partial, "unet", new_unet().state_dict())
        return folder

    def _own(self, n: int, seed: int) -> Path:
        out = self.work / "own" / f"n{n}-s{seed}"
        if not out.exists():
            images = OwnImages(self.few(n, seed), self.settings.size, VAE_BUDGET)
            images.write_pipeline(out, out.with_name(f"{out.name}.work"), seed=seed, progress=self.progress)
        return out

    def tuned(self, base: Base, n: int, seed: int) -> Path:
        """The pipeline, tuned on the images of an arm."""
        out = self.work / "tuned" / f"{base}-n{n}-s{seed}"
        if not out.exists():
            settings = TUNING[base].model_copy(update={"seed": seed})
            execution = Execution(checkpoint_every=100)
            task = Task(self.base(base, n, seed), ShardSet.open(self.few(n, seed)), out)
            tune(task, settings, execution, new_accelerator(settings, execution), self.progress, self.say)
        return out

    def drawn(self, base: Base, n: int, seed: int) -> Path:
        """Synthetic images by all strategies, enough for the largest ratio."""
        out = self.place(base, n, seed)
        if (out / INFO).exists():
            return out
        self.say(f"generator tuned from {base} on {n} images per class, seed {seed}")
        bundle, _ = Wanted("onnxruntime", rows=ROWS).build(self.tuned(base, n, seed), self.work, say=self.say)
        few = self.few(n, seed)
        job = SamplingJob(out, bundle, parents=few)
        engine = job.load()
        settings, parents = self.settings, Parents(ShardSet.open(few), few)
        how = GenerationSettings(
            strategies=settings.strategies,
            per_parent=settings.drawn_per_parent,
            steps=settings.steps,
            guidance=settings.guidance,
            guidance_interval=settings.guidance_interval,
            size=engine.spec.size,
            seed=seed,
        )
        plan = run_record.read_plan(out) or new_plan(how, CellRequest(), engine.spec, parents)
        record = run_record.describe(engine, plan, begun=run_record.read(out))
        run_record.open_run(out, record, plan)
        left = run_record.todo(out, record)
        with self.progress(f"draw for n={n}, seed {seed}", sum(map(record.images_in, left))) as tick:
            job.sample(left, engine, lambda stages: tick())
        run_record.finish(out, record)
        return out
