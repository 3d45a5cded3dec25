"""Only what a stopped job left as it was is taken for finished."""

from __future__ import annotations

from pathlib import Path

from flips import flipped, some_bits

from dermforge.common.finished_parts import holds, note, record_of
from dermforge.common.whole_folder import whole_folder


def write(folder: Path) -> None:
    (folder / "part" / "in").mkdir(parents=True)
    (folder / "part" / "in" / "weights").write_bytes(bytes(range(40)))
    (folder / "plan").write_bytes(b"plan")


def test_every_changed_bit_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / ".out.partial-1-job"
    write(folder)
    for part in ("part", "plan"):
        assert not holds(folder, part)
        note(folder, part)
    assert holds(folder, "part")
    assert holds(folder, "plan")
    assert not holds(folder, "other")
    record = record_of(folder)
    assert record is not None
    weights, plan = folder / "part" / "in" / "weights", folder / "plan"
    for file, lost in ((weights, ["part"]), (plan, ["plan"]), (record, ["part", "plan"])):
        for bit in some_bits(file, 300):
            with flipped(file, bit):
                assert not any(holds(folder, part) for part in lost)
    (folder / "part" / "more").touch()
    assert not holds(folder, "part")


def test_a_folder_of_no_job_notes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "out")
    note(tmp_path / "out", "part")
    assert not holds(tmp_path / "out", "part")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_job_goes_on_with_its_own_parts_and_leaves_no_record(tmp_path: Path) -> None:
    left = tmp_path / ".out.partial-999999-same"
    write(left)
    note(left, "part")
    with whole_folder(tmp_path / "out", "same") as partial:
        assert holds(partial, "part")
        assert not holds(partial, "plan")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    write(left)
    note(left, "part")
    with whole_folder(tmp_path / "out", "other") as partial:
        assert not holds(partial, "part")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
