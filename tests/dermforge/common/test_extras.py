"""What is recommended can be installed: every hint goes through one function, and names what pyproject.toml has."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from dermforge.common import extras
from dermforge.common.extras import PURPOSES, how_to_install, requirements
from engines.backends.tensorrt import MODULES

ROOT = Path(__file__).resolve().parents[3]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SOURCES = [
    p for top in ("dermforge", "engines", "gen", "shards", "evalsuite", "bench") for p in (ROOT / top).rglob("*.py")
]


@pytest.mark.parametrize("extra", DECLARED)
def test_the_hint_names_the_packages_of_the_extra(extra: str) -> None:
    installed = [r for r in metadata.requires("dermforge") or [] if re.search(rf"extra == ['\"]{extra}['\"]", r)]
    if {Requirement(r.partition(";")[0]) for r in installed} != {Requirement(r) for r in DECLARED[extra]}:
        pytest.skip("dermforge was installed before this extra was changed; `make install` installs it again")
    assert {Requirement(r) for r in requirements(extra)} == {Requirement(r) for r in DECLARED[extra]}
    assert all(Requirement(r).name in how_to_install(extra) for r in DECLARED[extra])


def test_every_extra_has_a_purpose() -> None:
    assert set(PURPOSES) == set(DECLARED)


def test_every_hint_in_the_source_is_of_an_extra_that_there_is() -> None:
    """And none names dermforge itself, which a package index may lack, or have from somebody else."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    named = set(re.findall(r"how_to_install\(['\"]([^'\"]+)['\"]\)", text))
    assert named | set(MODULES) <= set(DECLARED)
    assert len(named) >= 5
    assert not re.search(r"(install|extra) \W*dermforge\[", text)


def test_without_an_installed_dermforge_the_source_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(extras, "requires", missing)
    assert how_to_install("lora") == "pip install '.[lora]' in the folder of dermforge's source"
