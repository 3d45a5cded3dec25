"""What of a set is pushed and pulled: names that the format knows, in a set or one folder below."""

from __future__ import annotations

from pathlib import Path

import pytest

from shards.tools.published import is_ours


@pytest.mark.parametrize(
    "name",
    [
        "set-000000.tar",
        "set-000000.json",
        "set-000000.idx",
        "_info.json",
        "_purged.x1.json",
        "run.json",
        "plan.csv",
        "README.md",
        "croissant.json",
        "samples.csv",
        "train/set-000000.tar",
        "test/_info.json",
    ],
)
def test_files_of_a_set(name: str) -> None:
    assert is_ours(name)


@pytest.mark.parametrize(
    "name",
    [
        "set.tar",
        "set-000000.tar.py",
        "set-000000.pkl",
        "set-000000.tar\n",
        "lesions.py",
        "pytorch_model.bin",
        "_dropped.csv",
        "train/README.md",
        "a/b/set-000000.tar",
        "../set-000000.tar",
        "/set-000000.tar",
        ".cache/set-000000.tar",
        ".git/_info.json",
        "names.csv",
        "key.txt",
    ],
)
def test_other_files(name: str) -> None:
    assert not is_ours(name)


def test_the_lists_of_shards_make_are_never_ours() -> None:
    """They name files and patients."""
    from shards.ingest.write.hidden_names import KEY, NAMES
    from shards.ingest.write.make_report import RECORDS

    assert not [name for name in (*RECORDS, KEY, NAMES) if is_ours(Path(name).name)]
