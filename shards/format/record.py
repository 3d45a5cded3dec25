"""What the records of a set share: equal content gives equal bytes, and a digest of its own."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from dermforge.common.digests import digest_bytes

DIGEST_PATTERN = r"^([0-9a-f]{64})?$"
#: Stands in a record while its own digest is computed.
NO_DIGEST = "0" * 64


class Record(BaseModel):
    """A validated, frozen record."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> bytes:
        """Sorted keys, no spaces, UTF-8, no NaN: equal content gives equal bytes."""
        return canonical_json(self.model_dump(by_alias=True))


def canonical_json(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def sign(blank: bytes) -> bytes:
    """A record with the sha256 of its content in place of the zeros in it."""
    return blank.replace(NO_DIGEST.encode(), digest_bytes(blank).encode(), 1)
