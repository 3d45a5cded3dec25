"""The margins of a certificate of use: by how much a student may differ from its teacher.

They are choices, named in advance, of what is too small to matter (decision 0052):

- Shares, accuracies: 2 points, the margin of a study; 5 in a part of the images, which has about a sixth of them.
- Spearman's correlation: 0.05, as a share in a part.
- Recall, coverage, Vendi score: a twentieth of the teacher's at most is lost; a tenth in a part.
- Angles: 5 degrees, as `evalsuite tone` takes them for a shift that matters.
- Range and spread of the angle: 0.8 to 1.25, the limits of bioequivalence (FDA 2001, Statistical Approaches to
  Establishing Bioequivalence).
- Copies: one point more, which is the audit's own share of false alarms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from dermforge.common.digests import digest_bytes
from dermforge.common.errors import UserError, first_fault
from dermforge.common.regular_file import read_regular
from evalsuite.stats.equivalence import Margin

#: Shares, correlations and accuracies: student less teacher. `_class`, `_group`: of a class or a skin type alone.
DIFFERENCES: dict[str, Margin] = {
    "recognised": Margin(-0.02, 0.02),
    "recognised_class": Margin(-0.05, 0.05),
    "confusion": Margin(-0.05, 0.05),
    "tone_measured": Margin(-0.05, 0.05),
    "tone_order": Margin(-0.05, 0.05),
    "tone_degrees": Margin(-5.0, 5.0),
    "copies": Margin(None, 0.01),
    "gain": Margin(-0.02, 0.02),
    "gain_group": Margin(-0.05, 0.05),
}
#: Student over teacher.
RATIOS: dict[str, Margin] = {
    "tone_range": Margin(0.8, 1.25),
    "tone_spread": Margin(0.8, 1.25),
    "recall": Margin(0.95, None),
    "recall_class": Margin(0.9, None),
    "coverage": Margin(0.95, None),
    "coverage_class": Margin(0.9, None),
    "vendi": Margin(0.95, None),
    "vendi_class": Margin(0.9, None),
}
DEFAULTS: Mapping[str, Margin] = {**DIFFERENCES, **RATIOS}
_FILE = TypeAdapter(dict[str, tuple[FiniteFloat | None, FiniteFloat | None]])


@dataclass(frozen=True)
class Margins:
    """A margin for each measure.

    Attributes
    ----------
    sha256
        Of the file that they come from; None: the defaults.
    """

    of: Mapping[str, Margin]
    sha256: str | None = None


def read_margins(file: Path | None) -> Margins:
    """The defaults, but for those that a file names: `{"gain": [-0.02, 0.02], "recall": [0.9, null]}`.

    Raises
    ------
    UserError
        There is no such file, it names a measure that there is not, or a margin without an end or with its ends turned.
    """
    if file is None:
        return Margins(DEFAULTS)
    expected = 'expected JSON such as {"gain": [-0.02, 0.02], "recall": [0.9, null]}'
    if not file.is_file():
        raise UserError(f"no file of margins at {file}; {expected}")
    content = read_regular(file)
    try:
        given = _FILE.validate_json(content)
    except ValidationError as error:
        raise UserError(f"{file}: {first_fault(error)}; {expected}") from error
    if unknown := sorted(set(given) - set(DEFAULTS)):
        raise UserError(f"{file}: no measure is called {', '.join(unknown)}; expected {', '.join(DEFAULTS)}")
    for name, (low, high) in given.items():
        same = 1.0 if name in RATIOS else 0.0
        if (low is None and high is None) or not (-float("inf") if low is None else low) <= same <= (
            float("inf") if high is None else high
        ):
            raise UserError(
                f"{file}: the margin of {name} is {[low, high]}; expected one that holds {same:g}, which is no change"
            )
    return Margins({**DEFAULTS, **{name: Margin(*ends) for name, ends in given.items()}}, digest_bytes(content))
