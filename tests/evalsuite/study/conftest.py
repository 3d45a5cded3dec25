"""A planted study, analysed once."""

from __future__ import annotations

import pytest
from study_helpers import new_grid, only_light, plant

from evalsuite.study import analysis


@pytest.fixture(scope="package")
def planted(tmp_path_factory: pytest.TempPathFactory) -> analysis.Analysis:
    made = new_grid(ratios=(2, 5, 10, 20))
    folder = tmp_path_factory.mktemp("study") / "planted"
    plant(folder, made, only_light)
    return analysis.analyse(folder, n_boot=200)
