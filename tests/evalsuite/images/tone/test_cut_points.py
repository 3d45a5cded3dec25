import pytest

from dermforge.common.errors import UserError
from evalsuite.images.tone.cut_points import CUTS, cut_points


def test_cut_points_are_a_parameter() -> None:
    assert cut_points("del-bino") == CUTS["del-bino"]
    assert cut_points("50,40,30,20,-10") == (50, 40, 30, 20, -10)
    for wrong in ("50,40,30,20", "50,40,40,20,-10", "a,b,c,d,e", "500,40,30,20,10"):
        with pytest.raises(UserError, match="five falling angles"):
            cut_points(wrong)
