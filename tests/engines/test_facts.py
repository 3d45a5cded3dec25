"""Facts beside a pipeline: odd ones are named in one line by whatever reads them first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import EngineError
from engines.facts import FACTS, read_facts, write_facts

WHOLE = {
    "lineage": ["a"],
    "lineage_sha256": {"a": "0" * 64},
    "phantom": True,
    "adapters": [{"file": "x.safetensors", "sha256": "1" * 64, "kind": "lora", "scale": None}],
    "files": {"unet/config.json": "2" * 64},
    "prompt_template": "a {class}",
}
ODD = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.integers(), min_size=1))


def test_facts_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_facts(tmp_path) == {}
    write_facts(tmp_path, WHOLE)
    assert read_facts(tmp_path) == WHOLE


@given(st.sampled_from(["lineage", "lineage_sha256", "phantom", "adapters"]), ODD)
def test_a_fact_of_another_shape_is_named(tmp_path_factory: pytest.TempPathFactory, name: str, value: Any) -> None:
    folder = tmp_path_factory.mktemp("facts")
    (folder / FACTS).write_text(json.dumps(WHOLE | {name: value}))
    with pytest.raises(EngineError, match=rf"{FACTS} is not as it was written \({name}.*restore it"):
        read_facts(folder)


@pytest.mark.parametrize("adapters", [[1], [{"file": "x"}], [{"sha256": 5}], {"sha256": "1"}])
def test_an_adapter_without_a_digest_is_named(tmp_path: Path, adapters: Any) -> None:
    write_facts(tmp_path, WHOLE | {"adapters": adapters})
    with pytest.raises(EngineError, match="adapters"):
        read_facts(tmp_path)
