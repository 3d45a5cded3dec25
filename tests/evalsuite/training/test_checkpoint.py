"""A checkpoint says what it has seen, and is not believed where it is damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from flips import flipped, some_bits

from dermforge.common.classifier import open_classifier
from dermforge.common.errors import UserError
from evalsuite.training import checkpoint
from shards import ImageSet


def test_patients_and_what_the_generator_saw_are_refused_too(trained: Path) -> None:
    """Another image of a training patient, or one that the generator of the synthetic images was tuned on."""
    record = checkpoint.read_record(trained).model_copy(
        update={"clusters": {"train": ["p1"], "validation": ["p2"]}, "lineage": ["x-[000-099]"]}
    )

    def images(ids: list[str], clusters: list[str | None]) -> ImageSet:
        return ImageSet(pd.DataFrame({"id": ids, "cluster": clusters}), [])

    checkpoint.refuse_seen(record, trained, images(["new"], ["p3"]), "use others")
    with pytest.raises(UserError, match=r"1 clusters were in the validation set .*p2.*use others"):
        checkpoint.refuse_seen(record, trained, images(["new", "newer"], ["p2", "p3"]), "use others")
    with pytest.raises(UserError, match=r"1 images were seen by the generator .*x-042"):
        checkpoint.refuse_seen(record, trained, images(["new", "x-042"], [None, None]), "use others")


@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_a_damaged_checkpoint_is_named(trained: Path, tmp_path: Path, count: int) -> None:
    """One line instead of a traceback, whichever bit is another; ids in the record guard against leakage."""
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoint.load(tmp_path)
    for name in ("checkpoint.json", "model.safetensors"):
        shutil.copy(trained / name, tmp_path)
    for name in ("checkpoint.json", "model.safetensors"):
        for bit in some_bits(tmp_path / name, count):
            with flipped(tmp_path / name, bit), pytest.raises(UserError, match=rf"{name} is .*train it again"):
                checkpoint.load(tmp_path)
            with flipped(tmp_path / name, bit), pytest.raises(UserError, match=r"train it again|is not a classifier"):
                open_classifier(tmp_path)
    checkpoint.load(tmp_path)
