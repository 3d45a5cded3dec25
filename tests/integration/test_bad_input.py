"""A user's mistakes in the main commands: one line, exit status 2, nothing half-written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_helpers import call, importing_from

from gen.builtin import pipeline_folder

ROOT = Path(__file__).parents[2]
FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from gen.cli import main
sys.argv = ["gen", *sys.argv[1:]]
main()
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in pipeline, run by torch: the quickest to build."""
    out = tmp_path_factory.mktemp("built") / "bundle"
    assert call(f"gen build-engine --backend torch --rows 8 --out {out}") == 0
    return out


def refusal(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """The one line on stderr of a command that must refuse; there is no traceback."""
    capsys.readouterr()
    assert call(line) == 2
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, said
    assert "Traceback" not in said
    return lines[0]


def test_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    said = refusal(capsys, f"gen sample --shards {out} --engine {tmp_path / 'nowhere'}")
    assert "nowhere" in said
    assert "gen build-engine" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--classes", "melanoma", "annulus"),
        ("--solver", "rk4", "dpmsolver++"),
        ("--steps", "0", "steps"),
        ("--per-cell", "0", "expected 1 to"),
        ("--worker", "3/3", "I/N"),
        ("--format", "gif", "png"),
    ],
)
def test_an_impossible_setting_is_named_with_possible_ones(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, expected: str
) -> None:
    out = tmp_path / "out"
    said = refusal(capsys, f"gen sample --shards {out} --engine {bundle} {option} {value}")
    assert value in said
    assert expected in said
    assert not list(out.rglob("*.tar"))


def test_a_folder_that_cannot_be_written(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    said = refusal(capsys, f"gen sample --shards {tmp_path / 'file' / 'out'} --engine {bundle} --per-cell 1 --steps 1")
    assert "file" in said


def test_a_full_disk_leaves_no_part_of_a_shard_and_the_run_resumes_later(bundle: Path, tmp_path: Path) -> None:
    """A real limit on file sizes, in a process of its own; the same command then finishes the run."""
    words = f"sample --shards {tmp_path / 'out'} --engine {bundle} --per-cell 1 --steps 1"
    run = [sys.executable, "-c", FULL_DISK, *words.split()]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300, env=importing_from(ROOT))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "error:" in done.stderr
    assert not [p for p in (tmp_path / "out").rglob("*") if ".tar" in p.name], "part of a shard was left"
    assert call(f"gen {words}") == 0
    assert call(f"shards verify {tmp_path / 'out'} --deep") == 0


def test_pickled_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    shutil.copytree(pipeline_folder(), model)
    (model / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, model / "unet" / "diffusion_pytorch_model.bin")
    said = refusal(capsys, f"gen build-engine --model {model} --out {tmp_path / 'bundle'}")
    assert "pickle" in said
    assert "safetensors" in said
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler", "model_index.json"])
def test_a_pipeline_folder_with_a_part_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str) -> None:
    model = tmp_path / "model"
    shutil.copytree(pipeline_folder(), model)
    gone = model / part
    gone.unlink() if gone.is_file() else shutil.rmtree(gone)
    said = refusal(capsys, f"gen build-engine --model {model} --out {tmp_path / 'bundle'}")
    assert part in said
    assert not (tmp_path / "bundle").exists()


def test_no_such_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, f"gen build-engine --model {tmp_path / 'none'} --out {tmp_path / 'b'}")
    assert str(tmp_path / "none") in said


def test_no_real_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(
        capsys, f"evalsuite run --real {tmp_path / 'none'} --synthetic {tmp_path / 'x'} --out {tmp_path / 'report'}"
    )
    assert "none" in said
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("written", ["[]", '"run"', '{"kind": "study"}', "{"])
def test_a_report_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str) -> None:
    """A plan.json of another shape, or that is not JSON, is named; nothing is written."""
    (tmp_path / "plan.json").write_text(written)
    said = refusal(capsys, f"evalsuite report {tmp_path}")
    assert str(tmp_path) in said
    assert not (tmp_path / "report.html").exists()


def test_a_section_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A measurement whose JSON is a list."""
    (tmp_path / "section.json").write_text("[]")
    assert "not a report section" in refusal(capsys, f"evalsuite report {tmp_path}")


def test_a_broken_parquet_of_predictions_or_in_a_folder_of_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], phantom_shards: Path
) -> None:
    """The card, and a folder of images with a table, name the broken file; a file in place of a folder is refused."""
    images = tmp_path / "images"
    images.mkdir()
    for broken in (images / "table.parquet", tmp_path / "table.parquet"):
        broken.write_bytes(b"PAR1 broken PAR1")
    table, clf, out = tmp_path / "table.parquet", tmp_path / "clf", tmp_path / "out.parquet"
    assert "table.parquet" in refusal(capsys, f"evalsuite fairness {table} --groups fst")
    small = "--model test_resnet --weights scratch --size 32 --steps 1 --batch 4"
    assert call(f"evalsuite train --real {phantom_shards} --out {clf} {small}") == 0
    assert "table.parquet" in refusal(capsys, f"evalsuite predict {clf} {images} --out {out}")
    said = refusal(capsys, f"evalsuite predict {clf} {table} --out {out}")
    assert "not a folder" in said
    assert not out.exists()


@pytest.mark.parametrize("command", ["train", "run", "study"])
def test_a_negative_number_of_real_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], phantom_shards: Path, command: str
) -> None:
    """`--n-real -1` is refused before anything is read or written."""
    given = f"--synthetic {tmp_path}" if command != "train" else ""
    capsys.readouterr()
    assert call(f"evalsuite {command} --real {phantom_shards} {given} --n-real -1 --out {tmp_path / 'out'}") == 2
    said = capsys.readouterr().err
    assert "--n-real" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
