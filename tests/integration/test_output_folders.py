"""Every command that writes a folder or a file refuses one that it did not make."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import typer
from command_helpers import call
from PIL import Image

from shards import Sample, ShardSetWriter, encode_image

PROGRAMS = ("gen", "shards", "evalsuite", "bench")
LINES = {
    "gen build-engine": "--model {pipeline} --backend torch --out {out}",
    "gen sample": "--engine {bundle} --per-cell 1 --classes a --groups 1 --shards {out}",
    "gen finetune": "--model {pipeline} --data {real}/train --out {out}",
    "gen distill": "--model {pipeline} --data {real}/train --out {out}",
    "gen distill-decoder": "--model {pipeline} --data {real}/train --out {out}",
    "gen phantoms": "{out} --per-cell 1",
    "gen train-builtin": "{out} --work {new}",
    "shards make": "{photos} --out {out}",
    "shards select": "{real}/train --out {out}",
    "shards repair": "{real}/train --out {out}",
    "shards sign": "{real}/train --certificate {table} --key {table} --out {out}",
    "evalsuite run": "--real {real} --synthetic {real}/train --out {out}",
    "evalsuite train": "--real {real} --out {out}",
    "evalsuite study": "--real {real} --synthetic {real}/train --out {out}",
    "evalsuite quality": "{real}/test {real}/train --out {out}",
    "evalsuite tone": "{real}/train --out {out}",
    "evalsuite use": "--teacher {real}/train --student {real}/train --real {real}/test --out {out}",
    "evalsuite leak": "{real} --out {out}",
    "evalsuite privacy": "{real}/train {real}/test --out {out}",
    "evalsuite filter": "{real}/test --train {real}/train --validation {real}/validation --out {out}",
    "evalsuite fairness": "{table} --groups fst --out {out}",
    "evalsuite readers": "{table} --out {out}",
    "evalsuite report": "{real} --out {out}",
    "evalsuite reader-study": "make {out} --real {real}/test --synthetic {real}/train",
    "bench gpu": "{out} --rehearse",
    **{
        f"bench {name}": "--out {out}"
        for name in (
            "roofline",
            "builtin",
            "engine",
            "engine-files",
            "sample",
            "shards",
            "train",
            "study",
            "statistics",
            "audits",
            "all",
            "paper",
        )
    },
}
#: The same, where a command writes a second folder.
MORE = {
    "gen train-builtin": "{new} --work {out}",
    "gen finetune": "--model {pipeline} --data {real}/train --out {new} --work {out} --fresh",
    "gen distill": "--model {pipeline} --data {real}/train --out {new} --work {out} --fresh",
    "gen distill-decoder": "--model {pipeline} --data {real}/train --out {new} --work {out} --fresh",
    "evalsuite filter": "{real}/test --train {real}/train --validation {real}/validation --out {new} --write {out}",
}
#: Those that write shards: nothing is added to a set of other images.
SETS = (
    "gen sample --engine {bundle} --per-cell 1 --classes a --groups 1 --shards {set}",
    "gen sample --engine {bundle} --per-cell 1 --classes a --groups 1 --fresh --shards {set}",
    "gen phantoms {root} --per-cell 1",
    "shards make {photos} --out {root}",
    "shards select {real}/test --out {set}",
    "shards select {set} --few 1 --out {set}",
    "shards repair {real}/test --out {set}",
    "shards sign {real}/test --certificate {table} --key {table} --out {set}",
    "evalsuite filter {real}/test --train {real}/train --validation {real}/validation --out {new} --write {set}",
    "shards make {photos} --out {new} --hash-ids {set}",
)
#: They fetch from a hub; tests/shards/commands/test_pull.py has one, and the folders.
PULLS = ("shards pull", "gen pull")
#: Their `out` is one file.
FILES = {
    "gen plan": "--engine {bundle} --per-cell 1 --classes a --groups 1 --out {file}",
    "evalsuite predict": "{classifier} {real}/test --out {file}",
    "shards overlap": "{real}/train {real}/test --out {file}",
    "shards sheet": "{real}/test --out {file}",
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, random_pipeline: Path, phantom_shards: Path) -> dict[str, Path]:
    """What the commands read."""
    import engines

    folder = tmp_path_factory.mktemp("inputs")
    for name in ("a", "b"):
        (folder / "photos" / name).mkdir(parents=True)
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / name / "one.png")
    (folder / "table.csv").write_text("id,label,prob_a,prob_b,fst\nx,a,0.9,0.1,1\ny,b,0.2,0.8,2\n")
    engines.build(random_pipeline, folder / "bundle", backend="torch", rows=2, prompts=["a"], allow_parity_failure=True)
    small = "--model test_resnet --weights scratch --size 32 --steps 1"
    assert call(f"evalsuite train --real {phantom_shards} --out {folder / 'classifier'} {small}") == 0
    return {
        "classifier": folder / "classifier",
        "pipeline": random_pipeline,
        "real": phantom_shards,
        "photos": folder / "photos",
        "table": folder / "table.csv",
        "bundle": folder / "bundle",
    }


def test_every_command_with_an_output_is_tried() -> None:
    writing = set()
    for program in PROGRAMS:
        group = typer.main.get_command(import_module(f"{program}.cli").PROGRAM.app())
        for name, command in group.commands.items():  # type: ignore[attr-defined]
            if any("--out" in p.opts or p.name == "out" for p in command.params):
                writing.add(f"{program} {name}")
    assert writing - set(FILES) - set(PULLS) <= set(LINES)


@pytest.mark.parametrize("command", [*LINES, *(f"{name} 2" for name in MORE)])
def test_a_strangers_folder_is_refused_and_left_as_it_is(
    command: str, places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "holiday.jpg").write_bytes(b"precious")
    name = command.removesuffix(" 2")
    options = (LINES if name == command else MORE)[name].format(out=out, new=tmp_path / "new", **places)
    assert call(f"{name} {options}") == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(said) == 1
    assert f"{out} holds holiday.jpg" in said[0]
    assert [(p.name, p.read_bytes()) for p in out.iterdir()] == [("holiday.jpg", b"precious")]


@pytest.mark.parametrize("line", SETS)
def test_no_image_is_added_to_a_set_of_others(
    line: str, places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever opens the folder afterwards would take both for one set: synthetic images for real, training for test."""
    root = tmp_path / "real"
    pixels = encode_image(np.zeros((8, 8, 3), np.uint8), "png")
    with ShardSetWriter(root / "test", "clinic", classes=["a"]) as writer:
        writer.add(Sample.model_validate({"id": "x", "origin": "real", "class": "a"}), pixels, "png")
    (root / "_dropped.csv").write_text("name,why\n")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert call(line.format(set=root / "test", root=root, new=tmp_path / "new", **places)) == 2
    assert f"error: {root}" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", FILES)
@pytest.mark.parametrize("name", ["labels.csv", "photo.png"])
def test_a_strangers_file_is_refused_and_left_as_it_is(
    command: str, name: str, places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name typed wrong must not cost a table of labels or a photograph."""
    if command == "evalsuite predict" and name.endswith("png"):
        pytest.skip("it writes tables only")
    file = tmp_path / name
    if name == "labels.csv":
        file.write_text("id,label,class,group\nx,a,a,1\n")
    else:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file)
    before = file.read_bytes()
    assert call(f"{command} {FILES[command].format(file=file, **places)}") == 2
    assert f"error: {file} is there already" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.parametrize("command", FILES)
def test_an_earlier_file_of_the_same_command_is_replaced(command: str, places: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / ("sheet.png" if "sheet" in command else "out.csv")
    for _ in range(2):
        assert call(f"{command} {FILES[command].format(file=file, **places)}") == 0
