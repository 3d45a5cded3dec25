"""All that an arm draws from, and whether its generator knows too much."""

from __future__ import annotations

import hashlib

import numpy as np

from evalsuite.study.arm import Arm
from evalsuite.study.kinds import REAL_ONLY
from evalsuite.study.own_validation import split
from evalsuite.study.synthetic_set import synthetic_set
from evalsuite.training.data import lineage_guard
from evalsuite.training.data.datasets import Data
from evalsuite.training.data.schedule import TrainingSet
from shards.mixing.tensors import TensorSet


def training_set(arm: Arm, data: Data) -> tuple[TensorSet, TrainingSet]:
    """The real images of an arm, and all it draws from.

    Raises
    ------
    UserError
        There are too few synthetic images for the ratio, or too few real ones.
    """
    real = data.real(arm.n_real, arm.seed)
    learnt, _ = split(arm, real)
    if arm.kind == "real-repeated":
        times = max(1, round(1 + arm.ratio))
        return real, TrainingSet(learnt.take(np.tile(np.arange(learnt.n), times)))
    if arm.kind in REAL_ONLY:
        return real, TrainingSet(learnt)
    return real, TrainingSet(None if arm.kind == "synthetic-only" else learnt, synthetic_set(arm, data, real))


def validation_set(arm: Arm, data: Data, real: TensorSet) -> TensorSet:
    """The images that choose the checkpoint: a share of the arm's own real ones, or the validation images."""
    _, own = split(arm, real)
    return data.validation if own is None else own


def digest(arm: Arm, data: Data) -> str:
    """What decides an arm's result: its settings, and the images that it may use."""
    new = {"val_fraction": not arm.val_fraction, "generator": arm.generator is None}  # arms of before had neither
    later = {name for name, unset in new.items() if unset}
    images = data.digest_for(data.real(arm.n_real, arm.seed), arm.generator)
    return hashlib.sha256(f"{arm.model_dump_json(exclude=later)} {images}".encode()).hexdigest()


def check_lineage(data: Data, arm: Arm, real: TensorSet, allow: bool) -> tuple[list[str], list[str]]:
    """Refuse an arm whose generator knows too much: (allowed leaks, notes)."""
    if arm.kind in REAL_ONLY:
        return [], []
    lineage = data.untuned_lineage if arm.kind == "untuned" else data.for_arm(real).lineage
    if not lineage:
        return [], []
    ids = real.rows["id"].tolist()
    own = lineage_guard.own_set_leak(lineage, ids, data.train.rows["id"].tolist())
    other, note = lineage_guard.arm_leaks(lineage, ids, phantoms=bool((real.rows["origin"] == "phantom").all()))
    return lineage_guard.refuse(own or other, allow), [note] if note else []
