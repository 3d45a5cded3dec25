"""The command that converts a pickle does so, whatever the file is called, and runs nothing else."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from dermforge.common.pickles import is_a_pickle
from engines.checkpoint import folder
from engines.errors import EngineError
from engines.single_file import convert
from engines.source import Source, open_model
from evalsuite.images.features import preset_models


def command(message: str) -> list[str]:
    return shlex.split(message[message.index("with `python") + len("with `") : message.rindex("`")])


@given(
    st.text(st.characters(blacklist_characters="\0/"), min_size=1),
    st.sampled_from(
        [folder.CONVERT, folder.CONVERT_ALONE, convert.CONVERT, preset_models.CONVERT, preset_models.CONVERT_WITHIN]
    ),
)
def test_a_name_is_one_argument_for_a_shell(name: str, program: str) -> None:
    assert not set('"$`\\!') & set(program)
    assert command(is_a_pickle(Path("x.pt"), program, name)) == ["python", "-c", program, name]


def test_the_command_for_a_single_file_converts_it(tmp_path: Path) -> None:
    path = tmp_path / 'it\'s $(touch ran) "a".ckpt'
    torch.save({"state_dict": {"a": torch.arange(3.0)}}, path)
    with pytest.raises(EngineError, match="is a pickle") as refused:
        open_model(Source(path)).__enter__()
    line = command(str(refused.value))
    subprocess.run([sys.executable, *line[1:]], cwd=tmp_path, check=True)
    assert not (tmp_path / "ran").exists()
    assert load_file(tmp_path / f"{path.stem}.safetensors")["a"].tolist() == [0, 1, 2]
