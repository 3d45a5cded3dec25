"""Addresses on the hub: those of the other kind, of a file, and those that are none are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermforge.common.errors import UserError
from dermforge.common.hub_address import HubAddress, Kind, hub_address, to_push

NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_]|[.-](?=[A-Za-z0-9])){0,20}", fullmatch=True).filter(
    lambda name: ".git" not in name and name not in ("datasets", "models", "spaces", "buckets") and name[-1] != "_"
)


@given(st.sampled_from(["dataset", "model"]), NAMES, NAMES, st.sampled_from([None, "main", "refs/pr/3", "v1.0"]))
def test_an_address_is_read_as_it_is_written(kind: Kind, owner: str, name: str, revision: str | None) -> None:
    address = HubAddress(kind, f"{owner}/{name}", revision)
    assert hub_address(str(address), kind) == address
    with pytest.raises(UserError, match="expected hf://"):
        hub_address(str(address), "model" if kind == "dataset" else "dataset")


@pytest.mark.parametrize(
    "text",
    [
        "hf://me",
        "hf://me/a/b",
        "hf://datasets/me",
        "hf://spaces/me/a",
        "hf://me/../a",
        "hf://me/a@",
        "hf://me/a@-x",
        "hf://me/a?x=1",
        "hf://me/a\n",
        "https://huggingface.co/me/a",
        "me/a",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    for kind in ("dataset", "model"):
        with pytest.raises(UserError):
            hub_address(text, kind)  # type: ignore[arg-type]


def test_a_push_makes_the_newest_state() -> None:
    with pytest.raises(UserError, match="leave @main out"):
        to_push("hf://me/a@main", "model")
