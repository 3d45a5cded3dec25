"""The bars of libraries are off inside, and as they were afterwards."""

from __future__ import annotations

import contextlib
from importlib import import_module
from pathlib import Path

import pytest
from transformers import CLIPTextConfig, CLIPTextModel

from dermforge.common.loading_bars import without_bars


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_bars_are_off_inside_and_as_they_were_after_an_error(library: str, before: bool) -> None:
    bars = import_module(f"{library}.utils.logging")
    was = bars.is_progress_bar_enabled()
    (bars.enable_progress_bar if before else bars.disable_progress_bar)()
    try:
        with contextlib.suppress(ValueError), without_bars(library):
            assert not bars.is_progress_bar_enabled()
            raise ValueError("inside")
        assert bars.is_progress_bar_enabled() == before
    finally:
        (bars.enable_progress_bar if was else bars.disable_progress_bar)()


def test_transformers_loads_without_a_bar(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Transformers 5 draws one for each model."""
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPTextModel(CLIPTextConfig(vocab_size=9, **small)).save_pretrained(tmp_path)
    capfd.readouterr()
    with without_bars("transformers"):
        CLIPTextModel.from_pretrained(tmp_path)
    assert capfd.readouterr().err == ""
