"""Cut-points of the individual typology angle (ITA), by name or as numbers."""

from __future__ import annotations

from itertools import pairwise

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import DEL_BINO

#: Published cut-points in degrees: lower bounds of the first five of six groups, from the lightest.
CUTS: dict[str, tuple[float, ...]] = {
    "del-bino": tuple(DEL_BINO.values())[:-1],  # Chardon 1991, Del Bino 2013
    "groh-kinyanjui": (55.0, 41.0, 28.0, 19.0, 10.0),  # Groh 2021's reading of Kinyanjui 2019, as FST 1 to 6
    "groh-empirical": (45.0, 28.0, 17.0, 5.0, -20.0),  # Groh 2021, fitted to annotations, FST 1 to 6
    "derm-ita": (40.0, 23.0, 12.0, 0.0, -25.0),  # CVPRW 2021 as kept in derm_ita, FST 1 to 6
    "equal-25": (50.0, 25.0, 0.0, -25.0, -50.0),  # arXiv 2104.14685
}


def cut_points(name: str) -> tuple[float, ...]:
    """Lower bounds in degrees of the first five of six groups, from the lightest: by name, or as "55,41,28,10,-30"."""
    if name in CUTS:
        return CUTS[name]
    try:
        points = tuple(float(word) for word in name.split(","))
    except ValueError:
        points = ()
    if len(points) != 5 or not all(-90 <= low < high <= 90 for high, low in pairwise(points)):
        raise UserError(
            f"unknown ITA cut-points {name!r}; expected one of {', '.join(CUTS)}, or five falling angles "
            "such as 55,41,28,10,-30"
        )
    return points
