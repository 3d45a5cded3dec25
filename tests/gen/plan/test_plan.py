"""The plan: the same inputs give the same bytes, whatever the file; bad rows are named; order is balanced."""

from __future__ import annotations

import hashlib
import re
import resource
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from dermforge.common.tables import read_table
from gen.plan import cells, grid, plan
from gen.plan.grid import PRESETS, GenerationSettings
from gen.plan.ids import cell_id
from shards.format.schema import ID_LENGTH, ID_PATTERN

TEMPLATE = "An image of {class}, {group} skin"
PINNED = "8f8b1b8d1c563972b005ee771aca878fd5848961c7c95194e5787f2418a01d01"
PARENTS = pd.DataFrame({"id": ["p1", "p2"], "class": ["plaque", "ulcer"], "group": ["dark", None]})


def small(**changes: object) -> plan.Plan:
    counts = cells.uniform(["plaque", "ulcer"], ["dark", "very_light"], 3)
    return plan.from_rows(grid.rows(GenerationSettings(size=64, **changes), TEMPLATE, counts))  # type: ignore[arg-type]


def test_bytes_and_digest_are_a_function_of_the_inputs_alone() -> None:
    """A digest guards every resume: it must not drift between runs, machines or versions."""
    assert small().digest == small().digest == PINNED
    assert small(seed=1).digest != small().digest


def test_a_plan_survives_csv_and_parquet_with_its_digest(tmp_path: Path) -> None:
    made = plan.from_rows([*grid.rows(PRESETS["fast"], "An image of {class}, {group}", {("a, b", None): 2}, PARENTS)])
    for name in ("plan.csv", "plan.parquet"):
        made.save(tmp_path / name)
        again = plan.load(tmp_path / name)
        assert again.digest == made.digest
        assert again.rows() == made.rows()


#: A plan as it was written before a base could take steps.
BEFORE = (
    "id,class,group,strategy,prompt,negative_prompt,parent,mask,seed,solver,steps,guidance,guidance_interval,strength,"
    "size\na,plaque,dark,text-to-image,skin,,,,7,ddim,4,3.0,0.28:5.42,1.0,64\n"
)


@pytest.mark.parametrize("name", ["plan.csv", "plan.parquet"])
def test_a_plan_of_before_has_its_bytes_and_its_digest(name: str, tmp_path: Path) -> None:
    """Read, written again, and with a column of zeros; another number is another plan."""
    made = plan.from_csv(BEFORE.encode(), "before")
    assert made.csv() == BEFORE
    assert made.digest == hashlib.sha256(BEFORE.encode()).hexdigest()
    made.save(tmp_path / name)
    assert [*read_table(tmp_path / name)] == BEFORE.partition("\n")[0].split(",")
    (row,) = plan.records(plan.load(tmp_path / name).frame)
    assert row["base_steps"] == "0"
    assert plan.from_rows([{k: v for k, v in row.items() if v}]).csv() == BEFORE
    other = plan.from_rows([{k: v for k, v in row.items() if v} | {"base_steps": "1"}])
    other.save(tmp_path / name)
    assert plan.load(tmp_path / name).digest == other.digest != made.digest


@pytest.mark.parametrize("name", ["plan.csv", "plan.parquet"])
def test_a_full_disk_leaves_the_old_plan_or_none(name: str, tmp_path: Path) -> None:
    """A part of the rows would be a valid plan of fewer images."""
    small = plan.from_rows([{"id": "a", "class": "b", "group": "c", "prompt": "d", "size": 64}])
    large = plan.from_rows(
        [{"id": f"{n}", "class": "b", "group": "c", "prompt": f"{n} {n * n}", "size": 64} for n in range(3000)]
    )
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    for before in (None, small):
        if before:
            before.save(tmp_path / name)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16384, usual[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                large.save(tmp_path / name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        assert [p.name for p in tmp_path.iterdir()] == ([name] if before else [])
    assert plan.load(tmp_path / name).digest == small.digest


def test_any_prefix_of_a_grid_is_balanced() -> None:
    """A run that is stopped early, and every shard, holds all cells alike."""
    first = pd.DataFrame([(r.label, r.group) for r in small().rows(0, 4)])
    assert len(first.drop_duplicates()) == 4
    assert small().cells().to_numpy().tolist() == [[3, 3], [3, 3]]


def test_a_users_table_needs_little(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("class,group,steps\nplaque,dark,7\nulcer,tan,\n")
    made = plan.load(tmp_path / "mine.csv", {"size": 64, "prompt": TEMPLATE, "steps": 20})
    assert [(r.id, r.steps, r.prompt) for r in made.rows()] == [
        ("000001-plaque-dark", 7, "An image of plaque, dark skin"),
        ("000002-ulcer-tan", 20, "An image of ulcer, tan skin"),
    ]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("a.b,plaque,x,64,,", "row 1: id"),
        ("a,plaque,x,sixty,,", "row 1: size"),
        ("a,,x,64,,", "row 1 has no class$"),
        ("a,plaque,x,64,inpaint,", "needs a parent"),
        ("a,plaque,x,64,melt,", "row 1: strategy"),
        ("a,plaque,x,64,text-to-image,p1", "neither a parent"),
    ],
)
def test_a_bad_row_is_named_with_its_field(tmp_path: Path, line: str, word: str) -> None:
    (tmp_path / "bad.csv").write_text("id,class,prompt,size,strategy,parent\n" + line + "\n")
    with pytest.raises(UserError, match=word):
        plan.load(tmp_path / "bad.csv")


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no plan at"):
        plan.load(tmp_path / "none.csv")
    (tmp_path / "junk.parquet").write_bytes(b"\x00junk")
    with pytest.raises(UserError, match="cannot read the table"):
        plan.load(tmp_path / "junk.parquet")
    with pytest.raises(UserError, match="has no rows"):
        plan.from_rows([])
    row = {"id": "a", "class": "x", "prompt": "x", "size": 64}
    with pytest.raises(UserError, match="'a' twice"):
        plan.from_rows([row, row])
    with pytest.raises(UserError, match="Extra inputs"):
        plan.from_rows([{**row, "colour": "red"}])


def test_ids_of_any_names_are_their_own_and_fit_a_shard() -> None:
    """Long classes that differ at the end, and alphabets that an id cannot hold: no row takes another's place."""
    long = ["erythema " * 12 + end for end in ("annulare", "nodosum")]
    labels = [*long, "乾癬", "白斑", "psoriasis, pustular", "psoriasis; pustular"]
    ids = [cell_id(1, label, "V–VI", "inpaint-outpaint", "0123456789ab") for label in labels]
    assert len(set(ids)) == len(labels)
    assert all(re.fullmatch(ID_PATTERN, name) for name in ids)
    rows = [
        {"id": "a" * ID_LENGTH, "class": "x", "prompt": "x", "size": 64},
        {"id": "b", "class": "x", "prompt": "x", "size": 64},
    ]
    plan.from_rows(rows)
    with pytest.raises(UserError, match="row 1: id"):
        plan.from_rows([{**rows[0], "id": "a" * (ID_LENGTH + 1)}])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=8), st.floats(0, 20), st.integers(0, 2**62)), min_size=1, max_size=8
    )
)
def test_any_row_round_trips_through_the_canonical_text(values: list[tuple[str, float, int]]) -> None:
    """Commas, quotes, line ends and every float survive the file to the bit."""
    rows = [
        {
            "id": f"r{i}",
            "class": label,
            "prompt": label,
            "guidance": guidance,
            "seed": seed,
            "size": 64,
            "guidance_interval": (0.0, guidance + 1),
        }
        for i, (label, guidance, seed) in enumerate(values)
    ]
    made = plan.from_rows(rows)
    for row, back in zip(rows, made.rows(), strict=True):
        assert (back.label, back.guidance, back.seed) == (row["class"], row["guidance"], row["seed"])
        assert back.guidance_interval == row["guidance_interval"]


def test_what_a_row_leaves_out_is_named_with_what_fills_it(tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_text("class,group,size\nplaque,I,64\n")
    with pytest.raises(UserError, match=r"cells\.csv, row 1 has no id; `gen plan --table` makes a plan of a table"):
        plan.from_rows([{"class": "plaque", "size": 64}], str(tmp_path / "cells.csv"))
    with pytest.raises(UserError, match=r"cells\.csv, row 1 has no prompt; `gen plan --table` makes a plan of a table"):
        plan.load(tmp_path / "cells.csv")
    with pytest.raises(UserError, match=r"^the plan, row 1: `guidance_interval` must rise"):
        small(guidance_interval=(5.0, 1.0))
