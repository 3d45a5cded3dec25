"""`gen sample` and `gen regenerate` as a user gives them: sampled, resumed in a folder and in a bucket, refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ends import contents
from flips import flipped
from runs_helpers import files, objects
from typer.testing import CliRunner

from dermforge.common import console
from dermforge.common.errors import UserError
from engines import EngineError, read_bundle
from gen.commands.inspect_bundle import inspect_bundle
from gen.commands.regenerate import regenerate
from gen.commands.sample import sample
from gen.plan import plan
from gen.sampling import sampler
from shards import write_shard
from shards.ingest.folder import open_data
from shards.storage.bucket import Bucket
from shards.tools.purge import purge


def call(command: Callable[..., None], *words: object) -> str:
    app = console.new_app("test")
    app.command()(command)
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_samples_resumes_and_refuses(bundles: dict[str, Path], tmp_path: Path) -> None:
    """The user's road: sample, lose a shard, sample again; another plan is refused with both digests."""
    out = tmp_path / "out"
    options = ("--shards", out, "--engine", bundles["text"], "--device", "cpu", "--steps", 2, "--shard-size", 4)
    assert f"8 images in 2 shards in {out};" in call(sample, *options, "--per-cell", 2)
    assert (out / "sheet.png").stat().st_size > 1000
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    (out / "phantom-synthetic-000001.json").unlink()
    call(sample, *options, "--per-cell", 2, "--json")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    told = call(sample, *options, "--per-cell", 2)
    assert "nothing to do" in told
    assert "verified" not in told  # the tars of an earlier call were not read again
    assert f"`shards verify {out} --deep`" in told
    told = call(regenerate, out, "--shard", 1, "--engine", bundles["text"], "--check")
    assert told == f"shard 1 of {out} has the same bytes\n"
    with pytest.raises(UserError, match=r"there, .* now"):
        call(sample, *options, "--per-cell", 3)
    assert "12 images in 3 shards" in call(sample, *options, "--per-cell", 3, "--fresh")
    with pytest.raises(UserError, match="gen build-engine"):
        call(sample, *options, "--engine", tmp_path / "none")
    with pytest.raises(UserError, match="expected I/N"):
        call(sample, *options, "--worker", "3/3")
    with pytest.raises(UserError, match="leave out --steps"):
        call(sample, *options, "--plan", out / "plan.csv")


@pytest.mark.parametrize("part", ["text_encoder", "vae", "unet"])
def test_a_damaged_part_is_refused_before_any_shard_is_made_or_removed(
    bundles: dict[str, Path], tmp_path: Path, part: str
) -> None:
    """Text encoders are opened with the first prompt, which is before the first image; `--fresh` hashes all weights."""
    bundle, out = Path(shutil.copytree(bundles["text"], tmp_path / "bundle")), tmp_path / "out"
    options = ("--shards", out, "--engine", bundle, "--device", "cpu", "--name", "s", "--shard-size", 4)
    call(sample, *options, "--per-cell", 2, "--steps", 2)
    whole = contents(out)
    (weights,) = [a for a in read_bundle(bundle).find("weights", "torch") if a.component == part]
    with flipped(bundle / weights.path, 8 * (weights.bytes - 1)):
        with pytest.raises(EngineError, match=f"{weights.path} hashes to"):
            call(sample, *options, "--per-cell", 2, "--steps", 2, "--fresh")
        assert contents(out) == whole
        (out / "s-000001.json").unlink()
        before = contents(out)
        with pytest.raises(EngineError, match=f"{weights.path} hashes to"):
            call(sample, *options)
        assert contents(out) == before
        with pytest.raises(EngineError, match=f"{weights.path} hashes to"):
            inspect_bundle(bundle)
    call(sample, *options)
    assert contents(out) == whole


def test_a_run_into_a_bucket_resumes_where_the_network_died(
    bundles: dict[str, Path], bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is made twice, nothing is lost, and the objects are what a folder would hold."""
    made: list[int] = []

    def counted(location: object, name: str, index: int, *more: object, **options: object) -> object:
        sidecar = write_shard(location, name, index, *more, **options)  # type: ignore[arg-type]
        made.append(index)
        return sidecar

    def run(where: object, *more: object) -> str:
        options = ("--engine", bundles["text"], "--device", "cpu", "--shard-size", 4, "--name", "s")
        return call(sample, "--shards", where, *options, *(("--steps", 2, *more) if more else ()))

    def dies(self: Bucket, name: str, content: bytes) -> None:
        if name == "s-000001.json":
            raise ConnectionError("gone")
        whole(self, name, content)

    monkeypatch.setattr(sampler, "write_shard", counted)
    whole = Bucket.write
    with monkeypatch.context() as broken:
        broken.setattr(Bucket, "write", dies)
        with pytest.raises(ConnectionError):
            run(bucket, "--per-cell", 3)
    assert made == [0]
    first = objects(bucket)
    assert "s-000001.tar" in first  # there, and not committed
    assert "12 images in 3 shards" in run(bucket, "--per-cell", 3)
    assert made == [0, 1, 2]
    run(tmp_path / "folder", "--per-cell", 3)
    assert objects(bucket) == files(tmp_path / "folder")
    assert all(objects(bucket)[name] == first[name] for name in ("s-000000.tar", "s-000000.json"))
    assert Bucket(bucket).read("sheet.png") == (tmp_path / "folder" / "sheet.png").read_bytes()
    assert "nothing to do" in run(bucket)  # the plan is in the bucket too
    with pytest.raises(UserError, match=r"there, .* now"):
        run(bucket, "--per-cell", 2)
    assert "8 images in 2 shards" in run(bucket, "--per-cell", 2, "--fresh")
    assert len(objects(bucket)) == 6


def test_the_same_command_goes_on_after_its_only_photograph_was_withdrawn(
    bundles: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    """Then no row that is left starts from a photograph, and the plan still does."""
    out, parent = tmp_path / "out", str(open_data(images).rows["id"][0])
    row = {"class": "plaque", "group": "dark", "prompt": "a", "size": 64, "steps": 2}
    redrawn = {**row, "id": "b", "strategy": "image-to-image", "parent": parent}
    plan.from_rows([{**row, "id": "a"}, redrawn]).save(tmp_path / "plan.csv")
    options = ("--engine", bundles["text"], "--plan", tmp_path / "plan.csv", "--parents", images, "--device", "cpu")
    assert "2 images in 1 shards" in call(sample, "--shards", out, *options)
    purge(out, parent)
    assert "1 images in 1 shards" in call(sample, "--shards", out, *options)
