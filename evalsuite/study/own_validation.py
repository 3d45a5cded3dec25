"""A validation set that belongs to the budget: drawn from the arm's own real images, whole patients at a time."""

from __future__ import annotations

import numpy as np

from dermforge.common.errors import UserError
from evalsuite.study.arm import Arm
from shards.mixing.sampling_order import few_per_class
from shards.mixing.tensors import TensorSet

#: Added to the arm's seed: the order of its real images is drawn by the seed itself.
OTHER_ORDER = 1_000_003


def split(arm: Arm, real: TensorSet) -> tuple[TensorSet, TensorSet | None]:
    """The arm's real images to learn from and to choose the checkpoint by; None where it has none of its own.

    Images of a patient whose image chooses the checkpoint are not learnt from.

    Raises
    ------
    UserError
        No image of a class is left to learn from.
    """
    if not arm.val_fraction:
        return real, None
    per_class = max(1, round(arm.val_fraction * real.n / len(real.classes)))
    held = np.zeros(real.n, dtype=bool)
    held[few_per_class(real.rows, per_class, arm.seed + OTHER_ORDER)] = True
    patients = real.rows["cluster"]
    held |= (patients.notna() & patients.isin(set(patients[held].dropna()))).to_numpy()
    left = np.bincount(real.labels[~held], minlength=len(real.classes))
    if not left.all():
        scarce = real.classes[int(left.argmin())]
        raise UserError(
            f"{per_class} of {arm.n_real or 'all'} real images per class for validation ({arm.val_fraction:g} of them, "
            f"and whole patients) leave none of {scarce} to learn from; ask for more real images or a smaller share"
        )
    return real.take(np.flatnonzero(~held)), real.take(np.flatnonzero(held))
