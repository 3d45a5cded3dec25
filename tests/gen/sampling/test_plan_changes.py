"""No changed plan is taken in silence: it is the recorded one, or refused with the rows that differ."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from command_helpers import call
from ends import contents
from runs_helpers import rows, started

from dermforge.common.errors import UserError
from engines import Engine
from gen.plan.plan import Plan, from_rows, records
from gen.sampling import run_record
from gen.sampling.sampler import Sampler
from shards import ShardSet, finished
from shards.tools.select import select

#: Another valid value of a column, which an editor or a script may leave there.
OTHER = {
    **{"class": "annulus", "group": "brown", "prompt": "a photograph", "negative_prompt": "hair", "seed": "7"},
    **{"solver": "ddim", "steps": "3", "guidance": "3.5", "guidance_interval": "0.28:5.42", "size": "128"},
    "base_steps": "1",
}


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory, open_engine: Callable[..., Engine]) -> Path:
    """A run of 20 rows in 5 shards, of which shards 0 and 2 are there."""
    folder, engine, plan = tmp_path_factory.mktemp("run"), open_engine(), rows(5)
    Sampler(engine, plan, folder, started(folder, engine, plan)).run([0, 2])
    return folder


def edited(frame: pd.DataFrame, rng: random.Random) -> tuple[pd.DataFrame, dict[str, str]]:
    """A plan with a few changes, and what was done to which id."""
    done: dict[str, str] = {}
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(frame))
        key = str(frame["id"].iloc[at])
        if key in done:
            continue
        match rng.choice(("cell", "cell", "drop", "add", "order")):
            case "cell":
                column = rng.choice(list(OTHER))
                frame = frame.assign(**{column: frame[column].where(frame["id"] != key, OTHER[column])})
                done[key] = column
            case "drop":
                frame = frame[frame["id"] != key]
                done[key] = "missing"
            case "add":
                frame = pd.concat([frame, frame.iloc[[at]].assign(id=f"{key}-more")])
                done[f"{key}-more"] = "new"
            case "order":
                frame = frame.sample(frac=1, random_state=rng.randrange(1000))
    return frame, done


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_a_changed_plan_is_refused_by_its_rows_or_is_the_recorded_one(
    sampled: Path, tmp_path: Path, count: int
) -> None:
    """In the run's own file, and given as another one."""
    folder = Path(shutil.copytree(sampled, tmp_path / "run"))
    whole, record = run_record.read_plan(folder), run_record.read(folder)
    assert whole is not None
    assert record is not None
    made = {row.id for sidecar in finished(folder, "s").values() for row in sidecar.samples}
    refused = 0
    for seed in range(count):
        frame, done = edited(whole.frame, random.Random(seed))
        (folder / run_record.PLAN).write_text(Plan(frame, "").csv())
        if not done:
            assert (run_record.read_plan(folder) or rows(1)).csv() == whole.csv()
            continue
        refused += 1
        with pytest.raises(UserError, match=r"plan\.csv was changed") as caught:
            run_record.read_plan(folder)
        assert_named(str(caught.value), {key: what for key, what in done.items() if key in made})

        (folder / run_record.PLAN).write_text(whole.csv())
        other = from_rows(records(frame.replace("", None)))
        with pytest.raises(UserError, match="another plan digest") as caught:
            run_record.open_run(folder, record.model_copy(update={"plan_digest": other.digest, "images": 1}), other)
        assert_named(str(caught.value), done)
        assert (folder / run_record.PLAN).read_text() == whole.csv()
    assert count / 2 < refused < count


def assert_named(text: str, expected: dict[str, str]) -> None:
    """All rows that differ, or three of them, each with what differs; none where none is expected."""
    named = dict(re.findall(r"(\S+) \(([^()]+)\)", text.partition("rows that differ: ")[2].partition(";")[0]))
    assert named.items() <= expected.items()
    assert len(named) == min(3, len(expected))
    assert ("and more" in text) == (len(expected) > 3)


def test_a_plan_written_over_that_of_a_run_is_refused(sampled: Path, tmp_path: Path) -> None:
    """`gen plan --out` takes the name of any plan."""
    folder = Path(shutil.copytree(sampled, tmp_path / "run"))
    line = "gen plan --classes plaque,ulcer --groups dark,very_light --per-cell 5 --size 64"
    assert call(f"{line} --out {folder}/plan.csv") == 0
    with pytest.raises(UserError, match=r"plan\.csv was changed: .*rows that differ: 000000-plaque-dark"):
        run_record.read_plan(folder)


def test_what_reads_a_set_reads_no_plan(sampled: Path, tmp_path: Path) -> None:
    """Selecting from a run gives the rows of its images, whatever its plan says by now."""
    folder = Path(shutil.copytree(sampled, tmp_path / "run"))
    select(ShardSet.open(folder), tmp_path / "before", "x")
    (folder / run_record.PLAN).write_text("id,class\n")
    select(ShardSet.open(folder), tmp_path / "after", "x")
    assert contents(tmp_path / "before") == contents(tmp_path / "after")
