"""A licence must be chosen, and be one that the hub knows."""

from __future__ import annotations

import pytest

from dermforge.common.errors import UserError
from dermforge.common.hub_licences import LICENCES, licence


def test_each_of_the_hubs_licences_is_taken() -> None:
    for name in LICENCES - {"other"}:
        assert licence(name).head() == {"license": name}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (None, "no licence is chosen"),
        ("", "no licence is chosen"),
        ("CC-BY-4.0", "did you mean cc-by-4.0"),
        ("Apache 2", "apache-2.0"),
        ("unknown", "knows no licence"),
        ("mit\nlicense: gpl", "knows no licence"),
        ("other", "licence_link"),
    ],
)
def test_anything_else_is_refused(name: str | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        licence(name)


def test_another_licence_says_where_its_text_is() -> None:
    found = licence("other", "https://example.org/terms")
    assert found.address == found.head()["license_link"] == "https://example.org/terms"
    with pytest.raises(UserError, match="https://"):
        licence("other", "javascript:alert(1)")
