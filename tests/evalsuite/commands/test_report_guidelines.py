"""`evalsuite report --guideline` on a run: the files, what they say, and what they must not say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_helpers import call
from markdown_it import MarkdownIt
from pybtex.database import parse_file
from study_helpers import write_noisy_copies
from training_helpers import SMALL

from dermforge.common.errors import UserError
from evalsuite.commands.report import report
from shards import ShardSet
from shards.tools.select import select

FAST = f"--n-real 6 --n-boot 100 {' '.join(SMALL)} --seeds 1 --steps 4 --batch 8 --workers 1"


@pytest.fixture(scope="module")
def run(phantom_shards: Path, noisy_copies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert call(f"evalsuite run --real {phantom_shards} --synthetic {noisy_copies} --out {out} {FAST}") == 0
    return out


def record(out: Path, name: str = "claim2024") -> dict[str, dict[str, object]]:
    return {one["number"]: one for one in json.loads((out / f"{name}.json").read_text())["items"]}


def test_a_run_becomes_a_checklist_a_table_a_paragraph_and_its_sources(run: Path, tmp_path: Path) -> None:
    names = ("claim2024", "tripod-ai", "stard-ai", "mi-claim-gen", "clear-derm", "fda-7c")
    report([run], tmp_path, list(names), n_boot=100, as_json=True)
    files = {f"{name}.{kind}" for name in names for kind in ("html", "md", "json")} | {"methods.md", "references.bib"}
    assert {path.name for path in tmp_path.iterdir()} == files
    items = record(tmp_path)
    assert items["7"]["status"] == "filled"  # phantoms, and how many
    assert items["5"]["status"] == "not applicable"
    assert items["44"]["status"] == "author must write"
    html = (tmp_path / "claim2024.html").read_text()
    counts = json.loads((tmp_path / "claim2024.json").read_text())["counts"]
    assert f"{counts['filled']} of 44 items filled from the artefacts" in html
    assert "51.4 %" in html
    table = MarkdownIt("commonmark").enable("table").render((tmp_path / "claim2024.md").read_text())
    assert table.count("<tr>") == 45
    cited = set(parse_file(str(tmp_path / "references.bib")).entries)
    paragraph = (tmp_path / "methods.md").read_text()
    assert all(f"@{key}" in paragraph for key in cited)
    assert {"tango1998", "wilson1927", "tejani2024claim"} <= cited
    assert not {"lu2022dpmsolver", "cubuk2020randaugment", "rao1988"} & cited  # one seed, light augmentation, no solver


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        report([run], tmp_path / name, ["claim2024", "fda-7c"], n_boot=100, as_json=True)
    made = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("a", "b")]
    assert made[0] == made[1]


def test_words_of_the_data_stay_words(run: Path, tmp_path: Path) -> None:
    """The prompt of every synthetic image is <b>an image</b>."""
    report([run], tmp_path, ["mi-claim-gen"], n_boot=100, as_json=True)
    html, table = ((tmp_path / f"mi-claim-gen.{kind}").read_text() for kind in ("html", "md"))
    assert "&lt;b&gt;an image&lt;/b&gt;" in html
    assert "&lt;b&gt;an image&lt;/b&gt;" in table
    assert "<b>" not in html + table


def test_a_card_alone_with_classes_that_are_markup(tmp_path: Path) -> None:
    """Class names of somebody's table: no tag, no new cell, and nothing is said of images that are not there."""
    rng, names = np.random.default_rng(0), ("<script>x</script>", "a|b")
    hit = rng.random(80)
    table: dict[str, object] = {
        "id": [f"i{i}" for i in range(80)],
        "label": [names[i % 2] for i in range(80)],
        "fst": ["I", "V"] * 40,
    }
    table |= {f"prob_{names[0]}": hit, f"prob_{names[1]}": 1 - hit}
    pd.DataFrame(table).to_parquet(tmp_path / "t.parquet")
    assert call(f"evalsuite fairness {tmp_path / 't.parquet'} --groups fst --out {tmp_path / 'card'}") == 0
    report([tmp_path / "card"], tmp_path / "out", ["stard-ai"], as_json=True)
    items = record(tmp_path / "out", "stard-ai")
    assert [items[number]["status"] for number in ("31", "11", "36")] == ["filled", *["author must write"] * 2]
    html, text = ((tmp_path / "out" / f"stard-ai.{kind}").read_text() for kind in ("html", "md"))
    assert "<script" not in html + text
    assert MarkdownIt("commonmark").enable("table").render(text).count("<td>") == 6 * 48


def test_images_that_changed_since_fill_nothing(run: Path, phantom_shards: Path, tmp_path: Path) -> None:
    """Copies of the images, elsewhere, are known by their digests; other images are not the study's."""
    shutil.copytree(phantom_shards, tmp_path / "real")
    report([run, tmp_path / "real"], tmp_path / "moved", ["claim2024"], n_boot=100, as_json=True)
    assert record(tmp_path / "moved")["20"]["status"] == "filled"
    changed = ShardSet.open(phantom_shards / "test")
    select(changed.take(list(range(changed.n - 1))), tmp_path / "fewer" / "test", "t")
    for split in ("train", "validation"):
        shutil.copytree(phantom_shards / split, tmp_path / "fewer" / split)
    report([run, tmp_path / "fewer"], tmp_path / "out", ["claim2024"], n_boot=100, as_json=True)
    assert record(tmp_path / "out")["20"]["status"] == "author must write"
    assert "not those that the study was trained on" in (tmp_path / "out" / "claim2024.html").read_text()


def test_a_leak_that_was_allowed_is_red_and_the_parts_are_not_called_disjoint(
    phantom_shards: Path, tmp_path: Path
) -> None:
    test_id = ShardSet.open(phantom_shards / "test").rows["id"][0]
    leaky = write_noisy_copies(tmp_path / "leaky", phantom_shards, (test_id,))
    line = f"evalsuite run --real {phantom_shards} --synthetic {leaky} --out {tmp_path / 'run'} {FAST} --allow-leakage"
    assert call(line) == 0
    report([tmp_path / "run"], tmp_path / "out", ["claim2024", "mi-claim-gen"], n_boot=100, as_json=True)
    assert 'class="leak"' in (tmp_path / "out" / "claim2024.html").read_text()
    assert "must not be read as evidence" in (tmp_path / "out" / "claim2024.md").read_text()
    assert record(tmp_path / "out")["20"]["status"] == "author must write"
    assert record(tmp_path / "out", "mi-claim-gen")["2.4"]["status"] == "author must write"


def test_what_cannot_be_a_checklist_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(f"evalsuite report {run} --guideline consort --out {tmp_path}") == 2
    assert "expected claim2024" in capsys.readouterr().err
    shutil.copytree(run, tmp_path / "run")
    with pytest.raises(UserError, match="both runs or studies"):
        report([run, tmp_path / "run"], tmp_path / "out", ["claim2024"], n_boot=100)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="not a checklist"):
        report([run], tmp_path / "own", ["claim2024"], n_boot=100)
    assert call(f"evalsuite report {tmp_path / 'own'} --guideline claim2024") == 2
    assert "give --out" in capsys.readouterr().err
