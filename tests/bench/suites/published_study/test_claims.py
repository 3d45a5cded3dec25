"""Published claims beside planted studies whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from study_helpers import new_grid, plant

from bench.suites.published_study.claims import CLAIMS, claims
from evalsuite.study import analysis, study_findings


def answers(folder: Path, accuracy: Callable[[str, int, float, str], float], **grid: object) -> dict[str, set[str]]:
    """Of each claim, over all its rows."""
    plant(folder, new_grid(**grid), accuracy, n=1800)
    record = study_findings.write_record(analysis.analyse(folder, n_boot=100), folder)
    found: dict[str, set[str]] = {name: set() for name in CLAIMS.values()}
    for row in claims("none", record):
        assert row.base == "none"
        found[row.claim].add(row.answer)
    return found


def real_curve(n: int) -> float:
    return {4: 0.50, 8: 0.60, 16: 0.68, 32: 0.74}.get(n, 0.8)


def test_a_study_as_published_agrees(tmp_path: Path) -> None:
    """A gain of eight points at any dose from 10:1 on, the same for both skin types, worth a few real images."""

    def accuracy(kind: str, n: int, ratio: float, group: str) -> float:
        return real_curve(n) + (0.08 if kind == "mix" else 0.0)

    found = answers(tmp_path / "s", accuracy, ratios=(10, 20))
    few, saturated, real = (found[CLAIMS[name]] for name in ("few", "saturation", "real"))
    assert few == {"agrees"}
    assert saturated == {"agrees"}
    assert real <= {"agrees", "cannot be determined"}
    assert "agrees" in real
    assert found[CLAIMS["skin types"]] == {"agrees"}


def test_a_study_without_a_gain_does_not_agree(tmp_path: Path) -> None:
    found = answers(tmp_path / "s", lambda kind, n, ratio, group: real_curve(n), ratios=(10, 20))
    assert found[CLAIMS["few"]] == {"does not agree"}
    assert found[CLAIMS["saturation"]] == {"cannot be determined"}  # nothing is gained that could saturate


def test_a_gain_that_goes_on_is_not_saturated(tmp_path: Path) -> None:
    def accuracy(kind: str, n: int, ratio: float, group: str) -> float:
        return 0.5 + ({10: 0.05, 20: 0.12, 40: 0.20}[int(ratio)] if kind == "mix" else 0.0)

    found = answers(tmp_path / "s", accuracy, ratios=(10, 20, 40))
    assert found[CLAIMS["saturation"]] == {"does not agree"}


def test_flat_doublings_that_add_up_are_not_saturation(tmp_path: Path) -> None:
    """Each doubling above 10:1 brings less than what matters, and all of them together bring more."""

    def accuracy(kind: str, n: int, ratio: float, group: str) -> float:
        return 0.5 + (0.10 + 0.015 * math.log2(ratio / 10) if kind == "mix" else 0.0)

    found = answers(tmp_path / "s", accuracy, ratios=(10, 20, 40, 80, 160, 320))
    assert found[CLAIMS["saturation"]] == {"does not agree"}


def test_without_an_exchange_rate_the_largest_dose_stands_beside_all_real_images(tmp_path: Path) -> None:
    def accuracy(kind: str, n: int, ratio: float, group: str) -> float:
        return {"all-real": 0.85, "mix": 0.65}.get(kind, 0.6)

    given = {"sizes": (4,), "arms": ("all-real",), "ratios": (10, 20)}
    assert answers(tmp_path / "s", accuracy, **given)[CLAIMS["real"]] == {"agrees"}


def test_one_skin_type_that_is_hurt_is_told(tmp_path: Path) -> None:
    def accuracy(kind: str, n: int, ratio: float, group: str) -> float:
        return real_curve(n) + ((0.1 if group == "light" else -0.1) if kind == "mix" else 0.0)

    assert answers(tmp_path / "s", accuracy, ratios=(10, 20))[CLAIMS["skin types"]] == {"does not agree"}


@pytest.mark.parametrize(("better", "answer"), [(0.1, "agrees"), (0.0, "does not agree")])
def test_strategies_are_told_apart_or_not(tmp_path: Path, better: float, answer: str) -> None:
    folder, design = tmp_path / "s", new_grid(strategies=("inpaint", "outpaint"), ratios=(10,))
    ahead = {arm.name for arm in design.arms() if arm.strategy == "inpaint"}
    plant(folder, design, lambda kind, n, ratio, group: 0.6)
    assert ahead
    plant(tmp_path / "t", design, lambda kind, n, ratio, group: 0.6 + better)
    for name in ahead:
        (tmp_path / "t" / "arms" / name).rename(tmp_path / name)
        (folder / "arms" / name).rename(tmp_path / "t" / "arms" / name)
        (tmp_path / name).rename(folder / "arms" / name)
    record = study_findings.write_record(analysis.analyse(folder, n_boot=100), folder)
    found = {row.answer for row in claims("none", record) if row.claim == CLAIMS["strategies"]}
    assert found == {answer}
