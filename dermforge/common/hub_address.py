"""Addresses on the Hugging Face Hub: hf://datasets/OWNER/NAME of a data set, hf://OWNER/NAME of a model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dermforge.common.errors import UserError

Kind = Literal["dataset", "model"]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_ADDRESS = re.compile(
    rf"hf://(?P<datasets>datasets/)?(?P<owner>{_NAME})/(?P<name>{_NAME})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]*))?"
)
#: The first words of the hub's other addresses; nobody can be called so.
_NO_OWNER = ("datasets", "models", "spaces", "buckets")
_EXPECTED = {"dataset": "hf://datasets/OWNER/NAME", "model": "hf://OWNER/NAME"}


@dataclass(frozen=True)
class HubAddress:
    """A repository on the hub.

    Attributes
    ----------
    id
        OWNER/NAME.
    revision
        A branch, a tag or a commit; None for the newest state.
    """

    kind: Kind
    id: str
    revision: str | None = None

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"hf://{'datasets/' if self.kind == 'dataset' else ''}{self.id}{at}"


def hub_address(text: str, kind: Kind) -> HubAddress:
    """An address of the kind that is expected.

    Raises
    ------
    UserError
        It is another kind of address, or none.
    """
    found = _ADDRESS.fullmatch(text)
    expected = f"{_EXPECTED[kind]}, and @REVISION behind it where an older state is meant"
    if found is None or found["owner"] in _NO_OWNER or re.search(r"--|\.\.|\.git\b", text):
        raise UserError(f"{text!r} is no address of a {kind} on the hub; expected {expected}")
    if (found["datasets"] is not None) != (kind == "dataset"):
        other = "model" if kind == "dataset" else "data set"
        raise UserError(f"{text} is the address of a {other}; expected {expected}")
    return HubAddress(kind, f"{found['owner']}/{found['name']}", found["revision"])


def to_push(text: str, kind: Kind) -> HubAddress:
    """An address that something is sent to: a new state is the newest one.

    Raises
    ------
    UserError
        As `hub_address`; or it names a revision.
    """
    found = hub_address(text, kind)
    if found.revision:
        raise UserError(f"{text} names a revision, and a push makes a new one; leave @{found.revision} out")
    return found
