"""Documentation: the programs accept its commands, its Python runs, and its links lead somewhere."""

from __future__ import annotations

import copy
import importlib
import inspect
import os
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from command_helpers import importing_from
from documented_commands import PROGRAMS, command_lines

import dermforge

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")), *sorted(DOCS.rglob("*.md"))]
WALK_PAGE = DOCS / "tutorial" / "every-command.md"


def commands() -> dict[tuple[str, str], tuple[Any, str]]:
    """(program, command) -> the parser and the help text."""
    found = {}
    for program in PROGRAMS:
        app: typer.Typer = importlib.import_module(f"{program}.cli").PROGRAM.app()
        group: Any = typer.main.get_command(app)
        for registered in app.registered_commands:
            callback = registered.callback
            assert callback is not None
            name = registered.name or callback.__name__.replace("_", "-")
            found[program, name] = (group.commands[name], inspect.getdoc(callback) or "")
    return found


def blocks(page: Path, language: str) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_line_is_accepted_by_its_program(page: Path) -> None:
    """The program itself parses names and options; nothing is run."""
    known = commands()
    for line in command_lines(page):
        words = shlex.split(line, comments=True)
        assert (words[0], words[1]) in known, f"{page.name}: there is no `{words[0]} {words[1]}`"
        known[words[0], words[1]][0].make_context(words[1], words[2:])


#: Command lines that make what the README's Python reads: a small `make demo`.
DEMO = """gen build-engine --out demo/bundle --backend torch
gen phantoms demo/phantoms --per-cell 1 --test-per-cell 1
gen sample --shards demo/shards --engine demo/bundle --per-cell 1 --steps 4"""
SLOW = ("README.md", "notebook.md")
PYTHON_PAGES = [
    pytest.param(page, marks=pytest.mark.slow if page.name in SLOW else (), id=str(page.relative_to(ROOT)))
    for page in PAGES
    if any(blocks(page, "python"))
]


@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    """All Python of a page in one process, in order, as a reader would run it."""
    if page.name == "README.md":
        for line in DEMO.splitlines():
            subprocess.run([sys.executable, "-m", "dermforge", *line.split()], cwd=tmp_path, check=True)
        says = ["0.8,0.2", "0.2,0.8", "0.2,0.8"]
        rows = [f"{i},{('melanoma', 'nevus')[i % 2]},{says[i % 3]},{i % 6 + 1}" for i in range(240)]
        (tmp_path / "predictions.csv").write_text("\n".join(["id,label,prob_melanoma,prob_nevus,fst", *rows]))
    script = tmp_path / "page.py"
    script.write_text("\n\n".join(blocks(page, "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=importing_from(ROOT),
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_generated_reference_has_every_command_option_and_example() -> None:
    """The page that the site builds from the programs: nothing of a command's help is lost on the way."""
    hook: Any = runpy.run_path(str(DOCS / "command_reference.py"))
    page: str = hook["page"]()
    sections = dict(re.findall(r"^### `(.+?)`\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL))
    known = commands()
    assert set(sections) == {" ".join(name) for name in known}
    for (program, name), (command, text) in known.items():
        section = sections[f"{program} {name}"]
        assert section.strip().startswith(text.splitlines()[0])
        assert all(f"```bash\n{example}\n```" in section for example in examples(text))
        for option in (o for p in command.params if p.name != "help" for o in p.opts if o.startswith("--")):
            assert f"| `{option}`" in section or f", `{option}`" in section, f"{program} {name} {option}"


def test_names_of_the_python_reference_exist() -> None:
    """A page that names a class which has moved would fail only when the site is built."""
    for page in DOCS.rglob("*.md"):
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert pkgutil.resolve_name(name) is not None


def test_every_decision_is_in_the_index() -> None:
    """Each number is used once, and the index has each title."""
    index = (DOCS / "decisions" / "index.md").read_text(encoding="utf-8")
    records = sorted((DOCS / "decisions").glob("0*.md"))
    numbers = [int(record.name[:4]) for record in records]
    assert len(set(numbers)) == len(numbers)
    for number, record in zip(numbers, records, strict=True):
        text = record.read_text(encoding="utf-8")
        title = text.splitlines()[0].removeprefix(f"# {number:04d}. ")
        assert f"| [{number:04d}]({record.name}) | {title} |" in index
        assert re.findall(r"^## (\w+)", text, re.MULTILINE) == ["Context", "Decision", "Consequence"]


def test_the_version_is_the_same_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {dermforge.__version__}\n" in citation
    assert f"## {dermforge.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """`make docs`: a broken link or an unknown name fails."""
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "fairness_card" in (tmp_path / "reference" / "python" / "index.html").read_text(encoding="utf-8")


def test_every_command_has_an_example_in_its_help() -> None:
    """`--help` shows a line to copy."""
    lacking = [" ".join(name) for name, (_, text) in commands().items() if not examples(text)]
    assert not lacking


def examples(text: str) -> list[str]:
    """The example in a help text, on one line and without rich's markup."""
    _, _, after = text.partition("Example")
    return [" ".join(m.split()) for m in re.findall(rf"((?:{'|'.join(PROGRAMS)}) .+?)(?:\n\n|$)", after, re.DOTALL)][:1]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """No page points at a file that was moved."""
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists() or target.endswith("reference/commands.md"), f"{page.name}: {target}"


def test_every_command_is_in_the_walk_or_said_not_to_be() -> None:
    """A new command is run by the tests, or the page says why not."""
    walked = {tuple(shlex.split(line)[:2]) for line in walk()}
    excluded = WALK_PAGE.read_text(encoding="utf-8").partition("Not included:")[2].partition("\n\n")[0]
    named = {tuple(words.split()[:2]) for words in re.findall(r"`([^`]+)`", excluded)}
    assert walked | {name for name in named if name in commands()} == set(commands())
    assert not walked & named


@pytest.mark.slow
def test_the_commands_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk, from an empty folder with the built-in pipeline: nothing may fail."""
    monkeypatch.chdir(tmp_path)
    for line in walk():
        words = shlex.split(line)
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(f"{words[0]}.cli").main()
        assert ended.value.code == 0, line


#: Options that make each command small; the last of an option counts.
SMALL = {
    "gen finetune": "--steps 2 --views 1",
    "gen build-engine": "--rows 8",
    "gen plan": "--per-cell 1 --steps 4",
    "evalsuite quality": "--resamples 10",
    "evalsuite privacy": "--control 2",
    "evalsuite filter": "--steps 5 --seeds 1 --model test_resnet --weights scratch --size 64",
    "evalsuite report": "--n-boot 100",
    "evalsuite run": "--steps 5 --model test_resnet --weights scratch --size 64 --n-boot 100",
}


@pytest.mark.slow
@pytest.mark.parametrize("page", ["how-to/published-data-set.md", "tutorial/your-images.md"])
def test_the_page_from_photographs_to_an_answer_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line of the page in order, on 240 files of two classes and a checkpoint that reads 77 tokens."""
    photographs(tmp_path, published=page.startswith("how-to"))
    model = str(checkpoint(tmp_path / "checkpoint"))
    monkeypatch.chdir(tmp_path)
    for line in command_lines(DOCS / page):
        words = shlex.split(re.sub(r"stable-diffusion-\S+", model, line), comments=True)
        monkeypatch.setattr(sys, "argv", [*words, *SMALL.get(" ".join(words[:2]), "").split()])
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(f"{words[0]}.cli").main()
        assert ended.value.code == 0, line


@pytest.mark.slow
def test_the_loop_of_the_study_runs(tmp_path: Path) -> None:
    """A generator for each seed, as on the page but smaller: no generator saw more than the images of its arm."""
    photographs(tmp_path)
    model = checkpoint(tmp_path / "checkpoint")
    loop = next(
        block for block in blocks(DOCS / "how-to" / "generator-per-size.md", "bash") if block.startswith("for n in ")
    )
    for long, short in (
        ("8 16 32", "2"),
        ("8,16,32", "2,4"),
        ("0 1 2", "0 1"),
        ("--seeds 3", "--seeds 2 --steps 2"),
        ("1,5,10", "1 --n-boot 100"),
        ("--model resnet18 --weights auto --size 224", "--model test_resnet --weights scratch --size 64"),
        ("stable-diffusion-2-1-base", str(model)),
        ("--method lora", "--method lora --steps 2"),
        ("--per-cell 60", "--per-cell 2 --steps 2"),
        ("--precision fp16", "--rows 8"),
    ):
        assert long in loop
        loop = loop.replace(long, short)
    make = "shards make photos --table photos.csv --class-column diagnosis --group-column fst --out data --size 64\n"
    done = subprocess.run(
        ["bash", "-ec", make + loop],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'class="leak"' not in (tmp_path / "study" / "report.html").read_text()


def checkpoint(folder: Path) -> Path:
    """The built-in pipeline in the form of a published checkpoint: 77 tokens, and no list of classes or groups."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    from gen.builtin import pipeline_folder

    pipeline = StableDiffusionPipeline.from_pretrained(pipeline_folder())
    known, config = pipeline.text_encoder.state_dict(), copy.deepcopy(pipeline.text_encoder.config)
    config.max_position_embeddings = pipeline.tokenizer.model_max_length = 77
    name = next(key for key in known if key.endswith("position_embedding.weight"))
    known[name] = known[name].repeat(5, 1)[:77]
    pipeline.text_encoder = CLIPTextModel(config)
    pipeline.text_encoder.load_state_dict({k: v for k, v in known.items() if not k.endswith("position_ids")})
    pipeline.save_pretrained(folder)
    return folder


def photographs(folder: Path, published: bool = False) -> None:
    """Phantoms as files with a table: in the form of a clinic, or of the published Fitzpatrick 17k."""
    from PIL import Image

    from dermforge.common.skin_tone import TONE_GROUPS
    from gen.phantoms import draw

    header = "url,md5hash,label,fitzpatrick_scale,patient" if published else "file,image,diagnosis,fst,patient"
    place, rows = folder / ("data/images" if published else "photos"), [header]
    place.mkdir(parents=True)
    for label, shape in (("psoriasis", "plaque"), ("lupus", "annulus")):
        for fst, tone in enumerate(sorted(TONE_GROUPS), start=1):
            for number in range(20):
                name = f"{label}-{fst}-{number}"
                rows.append(f"{name}.jpg,{name},{label},{fst},patient-{name}")
                Image.fromarray(draw(shape, tone, 77_000_000 + number).image).save(place / f"{name}.jpg", quality=95)
    (folder / ("data/fitzpatrick17k.csv" if published else "photos.csv")).write_text("\n".join(rows))


def walk() -> list[str]:
    """The command lines that run every command once."""
    return [line for block in blocks(WALK_PAGE, "bash") for line in block.splitlines() if line]
