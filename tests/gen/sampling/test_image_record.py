"""What is stored beside an image is its plan row again; the bytes of before there was a base stay."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gen.plan.plan import PlanRow
from gen.sampling.image_record import row_of, sample_of
from gen.sampling.run_record import RunRecord
from shards.format.schema import Sample

RUN = RunRecord.model_construct(plan_digest="0" * 64, model_digest="1" * 64, bundle_digest="2" * 64)
ROW = {
    **{"id": "a", "class": "plaque", "group": "dark", "strategy": "text-to-image", "prompt": "skin", "seed": 7},
    **{"solver": "ddim", "steps": 4, "guidance": 3.0, "guidance_interval": "0.28:5.42", "size": 64},
}
#: The record of `ROW` as it was written before a base could take steps.
BEFORE = (
    b'{"attributes":{},"bundle_digest":"' + b"2" * 64 + b'","class":"plaque","cluster":null,"group":"dark",'
    b'"guidance":3.0,"guidance_interval":[0.28,5.42],"height":0,"id":"a","image_sha256":"","mask":null,'
    b'"model_digest":"' + b"1" * 64 + b'","negative_prompt":"","origin":"synthetic","params":{},"parent":null,'
    b'"plan_digest":"' + b"0" * 64 + b'","prompt":"skin","scores":{},"seed":7,"size":64,"solver":"ddim",'
    b'"split":null,"steps":4,"strategy":"text-to-image","strength":1.0,"width":0}'
)


def test_a_record_of_before_has_its_bytes() -> None:
    """Written by a run without a base, and read and written again by the tools."""
    assert sample_of(PlanRow.model_validate(ROW), RUN, by_base=False).canonical() == BEFORE
    read = Sample.model_validate_json(BEFORE)
    assert read.base_steps is None
    assert read.canonical() == BEFORE
    assert row_of(read) == PlanRow.model_validate(ROW)


@given(
    steps=st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    guidance=st.floats(0, 20),
    interval=st.sampled_from([None, "0.28:5.42"]),
    mask=st.sampled_from([None, "lesion"]),
    by_base=st.booleans(),
)
def test_a_record_is_its_row_again(
    steps: tuple[int, int], guidance: float, interval: str | None, mask: str | None, by_base: bool
) -> None:
    """And says the steps of a base exactly where some row of the run has any."""
    some: dict[str, object] = {"steps": steps[0], "base_steps": steps[1] if by_base else 0, "guidance": guidance}
    some |= {"parent": "p", "strategy": "inpaint" if mask else "image-to-image", "mask": mask}
    row = PlanRow.model_validate(ROW | some | {"guidance_interval": interval})
    stored = sample_of(row, RUN, by_base).canonical()
    assert ("base_steps" in json.loads(stored)) is by_base
    assert row_of(Sample.model_validate_json(stored)) == row
