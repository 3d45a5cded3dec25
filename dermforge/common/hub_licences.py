"""Licences as the Hugging Face Hub names them: whoever publishes something must choose one."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from dermforge.common.errors import UserError

_NAMES = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0
eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2
llama3 llama3.1 llama3.2 llama3.3 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0
other pddl postgresql unlicense wtfpl zlib
"""
#: Of the hub's documentation (repositories-licenses), without `unknown`, which chooses nothing.
LICENCES = frozenset(_NAMES.split())


@dataclass(frozen=True)
class Licence:
    """A licence that somebody chose.

    Attributes
    ----------
    id
        One of `LICENCES`.
    link
        Address of its text; "" where the hub knows it.
    """

    id: str
    link: str = ""

    @property
    def address(self) -> str:
        """Address of the licence's text."""
        return self.link or f"https://choosealicense.com/licenses/{self.id}/"

    def head(self) -> dict[str, str]:
        """What the head of a card says of it."""
        own = {"license_name": "other", "license_link": self.link} if self.link else {}
        return {"license": self.id, **own}


def licence(id: str | None, link: str | None = None) -> Licence:
    """The licence that options or an existing card name.

    Raises
    ------
    UserError
        None is named, the hub does not know it, or it is `other` and nobody says where its text is.
    """
    if not id:
        raise UserError(
            "no licence is chosen: give `licence`, as the hub names it, such as cc-by-4.0 or mit. What was made from "
            "other people's images or weights is not free of their terms"
        )
    if id not in LICENCES:
        near = get_close_matches(id.lower(), sorted(LICENCES), 3, 0.5)
        meant = f"did you mean {' or '.join(near)}" if near else "expected one such as cc-by-4.0, mit or other"
        raise UserError(f"the hub knows no licence {id!r}: {meant}? See https://hf.co/docs/hub/repositories-licenses")
    if id == "other" and not (link or "").startswith("https://"):
        raise UserError("the licence is `other`: give the https:// address of its text too (`licence_link`)")
    return Licence(id, link or "")
