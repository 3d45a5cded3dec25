"""A checkpoint says what it has seen, and is not believed where it is damaged."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

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


def test_a_damaged_checkpoint_is_named(trained: Path, tmp_path: Path) -> None:
    """One line instead of a traceback."""
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoint.load(tmp_path)
    (tmp_path / "checkpoint.json").write_bytes((trained / "checkpoint.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="does not hold the weights"):
        checkpoint.load(tmp_path)
