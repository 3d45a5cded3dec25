"""`gen finetune` as a user gives it: a model for each class, trackers, and what is refused in one line."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import tracker_readers
from finetune_helpers import CLASSES, killed

from engines.pipeline_spec import model_digest, read_spec

pytestmark = pytest.mark.usefixtures("fresh_accelerator")
BAD: dict[str, tuple[dict[str, object], str]] = {
    "method": ({"method": "dreambooth"}, "unknown method 'dreambooth'"),
    "model": ({"model": "./none"}, "no pipeline folder"),
    "data": ({"data": "./none"}, "is not a folder"),
    "prompt": ({"template": "An image of {class}" + " of the skin of an arm" * 9}, "use a shorter --template"),
    "field": ({"template": "{disease}"}, "names {disease}"),
    "holdout": ({"holdout": "held.txt"}, "held out: p3"),
    "micro": ({"micro_batch": 3}, "micro-batch of 3"),
    "negative": ({"micro_batch": -1}, "--micro-batch is -1"),
    "fp16": ({"mixed_precision": "fp16"}, "needs a CUDA device"),
    "tracker": ({"track": "paper"}, "--track paper: no such tracker; expected tensorboard, wandb, mlflow"),
    "wandb": ({"track": "wandb"}, "--track wandb needs the package wandb: pip install "),
    "size": ({"size": 65}, "size 65 does not fit"),
    "rate": ({"learning_rate": -1}, "--learning-rate is -1"),
    "rank": ({"method": "lora", "rank": 100000}, "--rank is 100000"),
    "falls": ({"schedule": "cosine", "warmup": 1}, "more --steps than 1, a shorter --warmup, or --schedule constant"),
    "prior": ({"method": "textual-inversion", "prior": 2}, "leave them out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(
    case: str,
    finetune: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if case == "fp16" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    if case == "wandb":
        monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "held.txt").write_text("p3\n")
    given, said = BAD[case]
    assert finetune(**{"out": "tuned", "steps": 1, **given}) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "images/s" not in line]  # slow machines' progress
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "tuned").exists()


def test_broken_images_and_models_are_named(
    finetune: Callable[..., int],
    random_pipeline: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(model: Path, data: Path, said: str) -> None:
        assert finetune(model=model, data=data, steps=1) == 2
        assert said in capsys.readouterr().err

    photos = tmp_path / "photos"
    shutil.copytree(images, photos)
    (photos / "p2.png").write_bytes((photos / "p2.png").read_bytes()[:500])
    refused(random_pipeline, photos, "training image p2")
    (tmp_path / "empty").mkdir()
    refused(random_pipeline, tmp_path / "empty", "holds no images")
    weights = Path("unet", "diffusion_pytorch_model.safetensors")
    for name, said in (
        ("pickled", "is a pickle"),
        ("partial", "is missing"),
        ("damaged", "not a whole safetensors file"),
    ):
        model = tmp_path / name
        shutil.copytree(random_pipeline, model)
        if name == "pickled":
            (model / weights).rename(model / "unet" / "diffusion_pytorch_model.bin")
        elif name == "partial":
            shutil.rmtree(model / "vae")
        else:
            (model / weights).write_bytes((model / weights).read_bytes()[:5000])
        refused(model, images, said)


def test_a_run_is_not_resumed_with_fewer_steps_than_it_has_made(
    finetune: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What its card says is what was done: a checkpoint of 3 steps is no result of 2."""
    out = tmp_path / "tuned"
    assert finetune(steps=3, keep_work=True) == 0
    card = (out / "README.md").read_text()
    assert finetune(steps=2, keep_work=True) == 2
    assert "has made 3 steps, and 2 are asked for" in capsys.readouterr().err
    assert (out / "README.md").read_text() == card
    shutil.rmtree(out)
    assert finetune(steps=2, keep_work=True) == 2
    assert "checkpoint.safetensors has made 3 steps already, and 2 are asked for" in capsys.readouterr().err
    assert not out.exists()
    assert finetune(steps=2, keep_work=True, fresh=True) == 0
    assert "2 steps of" in (out / "README.md").read_text()


def test_another_run_s_checkpoint_and_folder_are_left_alone(
    finetune: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"method": "lora", "steps": 1, "keep_work": True}
    assert finetune(**options) == 0
    assert finetune(**options, learning_rate=0.1) == 2
    assert "learning_rate (0.0001 then, 0.1 now)" in capsys.readouterr().err
    assert finetune(**options, out=tmp_path / "other", learning_rate=0.1, work=tmp_path / "tuned.work") == 2
    assert "learning_rate (0.0001 then, 0.1 now)" in capsys.readouterr().err
    (tmp_path / "tuned.work" / "checkpoint.safetensors").write_bytes(b"damaged")
    assert finetune(**options | {"steps": 2}) == 2
    assert "is damaged" in capsys.readouterr().err
    assert finetune(**options | {"steps": 2}, fresh=True) == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    assert finetune(**options, out=tmp_path / "mine") == 2
    assert "is not a fine-tuned pipeline" in capsys.readouterr().err
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_a_rate_that_falls_no_more_is_named_and_nothing_that_is_equal(
    finetune: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an identity leaves out because it is usual, in a finished folder as in a checkpoint."""
    options = {"method": "lora", "steps": 2, "keep_work": True}
    assert finetune(**options, schedule="cosine") == 0
    for out in ("tuned", "other"):
        assert finetune(**options, schedule="constant", out=tmp_path / out, work=tmp_path / "tuned.work") == 2
        assert "is of another run: schedule (cosine then, constant now);" in capsys.readouterr().err


def test_the_command_that_comes_next_can_be_pasted(
    finetune: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune(steps=1, out=tmp_path / "stu [1]") == 0
    (line,) = re.findall(r"next: `(.*)`", capsys.readouterr().out)
    assert shlex.split(line) == ["gen", "build-engine", "--model", str(tmp_path / "stu [1]")]


def test_one_model_for_each_class(finetune: Callable[..., int], tmp_path: Path) -> None:
    assert finetune(out=tmp_path, per_class=True, steps=1) == 0
    for number, cls in enumerate(CLASSES):
        spec = read_spec(tmp_path / cls)
        assert spec.classes == [cls]
        assert spec.lineage == [f"p{i}" for i in range(number, 8, 2)]


def test_tensorboard_reads_back_what_was_logged(finetune: Callable[..., int], tmp_path: Path) -> None:
    """By TensorBoard's own reader: the log's numbers and nothing of an image, a run for each class."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    options = {"steps": 2, "batch": 2, "validate_every": 2, "track": "tensorboard", "per_class": True}
    assert finetune(out=tmp_path / "all", **options) == 0
    for cls in CLASSES:
        found = tracker_readers.tensorboard(tmp_path / "all" / f"{cls}.tracking")
        with (tmp_path / "all" / cls / "training" / "log.csv").open() as file:
            logged = list(csv.DictReader(file))
        assert set(found.points) == {"loss", "learning_rate", "gradient_norm"}
        for name, points in found.points.items():
            expected = [(int(row["step"]), pytest.approx(float(row[name]), rel=1e-5)) for row in logged]
            assert points == expected, name
        assert found.outcome == {"pipeline": model_digest(tmp_path / "all" / cls)}
        assert found.settings["images"] == "4"


@pytest.mark.parametrize("tool", ["tensorboard", "mlflow"])
def test_a_killed_run_goes_on_in_the_same_tracked_run(
    tool: str, finetune: Callable[..., int], random_pipeline: Path, images: Path, tmp_path: Path
) -> None:
    """Killed between two checkpoints: each step stands there once, and none is missing."""
    pytest.importorskip(tool)
    out = tmp_path / "tuned"
    options = {"steps": 12, "batch": 2, "views": 1, "checkpoint_every": 3, "track": tool}
    killed(out, model=random_pipeline, data=images, template="An image of {class}", **options)
    before = tracker_readers.run_id(tmp_path / "tuned.tracking")
    assert finetune(out=out, **options) == 0
    assert tracker_readers.run_id(tmp_path / "tuned.tracking") == before
    found = getattr(tracker_readers, tool)(tmp_path / "tuned.tracking")
    assert [step for step, _ in found.points["loss"]] == list(range(1, 13))
