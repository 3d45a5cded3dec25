"""Every setting of a pipeline is used, known to have no influence, or refused by name."""

from __future__ import annotations

import inspect
from pathlib import Path

import diffusers
import pytest
from transformers import CLIPTextConfig

from engines.checkpoint.scheduler_classes import FLOW, FLOW_NEEDS, FOREIGN, OWN
from engines.checkpoint.settings import Known, check_settings
from engines.errors import EngineError
from engines.models.clip import CLIP_SETTINGS
from engines.models.unet import UNET
from engines.models.vae import VAE

PATH = Path("unet/config.json")
NETWORKS = [(diffusers.UNet2DConditionModel, UNET), (diffusers.AutoencoderKL, VAE.settings)]


def defaults(kind: type) -> dict[str, object]:
    parameters = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    return {name: p.default for name, p in parameters.items() if name != "self"}


@pytest.mark.parametrize(
    ("kind", "keys"), [*NETWORKS, *((getattr(diffusers, name), keys) for name, keys in OWN.items())]
)
def test_each_setting_of_a_class_is_in_one_table_and_its_defaults_pass(kind: type, keys: Known) -> None:
    """A setting that a new version of diffusers adds fails here, and until then by name in a build."""
    named = [*keys.used, *keys.without_influence, *keys.only]
    assert not {name for name in named if named.count(name) > 1}
    assert not set(defaults(kind)) - set(named)
    check_settings(PATH, {k: v for k, v in defaults(kind).items() if k != "addition_embed_type"}, keys)


@pytest.mark.parametrize("name", FLOW)
def test_each_setting_of_a_class_of_flow_matching_is_in_one_table(name: str) -> None:
    keys = FLOW[name]
    named, found = [*keys.used, *keys.without_influence, *keys.only], defaults(getattr(diffusers, name))
    assert not {key for key in named if named.count(key) > 1}
    assert not set(found) - set(named)
    check_settings(PATH, found | (FLOW_NEEDS if name in OWN else {}), keys)


def test_the_defaults_of_the_text_encoder_pass() -> None:
    check_settings(PATH, CLIPTextConfig().to_dict() | CLIPTextConfig().to_diff_dict(), CLIP_SETTINGS)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"class_embed_type": "timestep"}, "class_embed_type = 'timestep'"),
        ({"num_class_embeds": 10}, "num_class_embeds = 10"),
        ({"addition_embed_type": "text_time"}, "expected null or 'text'"),
        ({"class_embeddings_concat": 1}, "class_embeddings_concat = 1"),
        ({"invented": 3}, "invented = 3, which this version does not know"),
        ({"invented": list(range(100))}, r"\.\.\., which"),
    ],
)
def test_a_setting_that_is_not_followed_is_refused_by_name(value: dict[str, object], word: str) -> None:
    with pytest.raises(EngineError, match=word) as caught:
        check_settings(PATH, value, UNET)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_unknown_setting_that_is_null_says_nothing() -> None:
    check_settings(PATH, {"invented": None, "encoder_hid_dim": None}, UNET)


def test_the_classes_are_those_of_diffusers() -> None:
    assert all(hasattr(diffusers, name) for name in (*OWN, *FLOW, *FOREIGN))
    assert not set(OWN) & set(FOREIGN)
