"""An option that does not go with a family is refused by name, with the families that have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from family_pipelines import PIPELINES

from dermforge.common.errors import UserError
from engines.models import families
from engines.pipeline_spec import PipelineSpec, read_spec
from gen.finetune.offered import check_offered
from gen.finetune.settings import Execution, Hyperparameters

OPTIONS: dict[str, dict[str, object]] = {
    "textual-inversion": {"method": "textual-inversion"},
    "keep_adapter": {"method": "lora"},
    "min_snr": {"method": "full", "min_snr": 5.0},
    "drop_prompt": {"method": "full", "drop_prompt": 0.1},
}
REFUSED = {
    "sdxl": [],
    "sdxl-inpaint": [],
    "sd3": ["textual-inversion", "min_snr"],
    "flux-dev": ["textual-inversion", "min_snr", "drop_prompt"],
    "flux-schnell": ["textual-inversion", "min_snr", "drop_prompt"],
    "pixart": ["textual-inversion", "keep_adapter"],
}


@pytest.fixture(scope="module", params=REFUSED)
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, PipelineSpec]:
    """The name of a family's tiny pipeline, and its spec."""
    folder = PIPELINES[request.param](tmp_path_factory.mktemp("made"))
    return request.param, read_spec(Path(folder), 64)


@pytest.mark.parametrize("option", OPTIONS)
def test_what_a_family_does_not_have_is_refused(option: str, spec: tuple[str, PipelineSpec]) -> None:
    name, facts = spec
    settings = Hyperparameters.check(**OPTIONS[option])
    execution = Execution(keep_adapter=option == "keep_adapter")
    if option not in REFUSED[name]:
        check_offered(facts, settings, execution)
        return
    title = families()[facts.family].title
    with pytest.raises(UserError, match=rf"`{option}` is not for {title}.* It is for .*Stable Diffusion XL"):
        check_offered(facts, settings, execution)
