"""Encoders by name: the same numbers as the libraries that define them, and a command to type where one is missing."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dermforge.common.errors import UserError
from evalsuite.images.features.extractors import open_extractor
from evalsuite.images.features.preset_models import convert, open_preset
from evalsuite.images.features.presets import CLIP, TABLE, Preset, preset_named

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3)).astype(np.uint8)


def named(name: str, **changes: Any) -> Preset:
    """A preset, smaller."""
    preset = preset_named(name)
    assert preset
    return replace(preset, **changes)


def pixels(size: int, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> torch.Tensor:
    """The images as torchvision prepares them, which has its own code for PIL's bicubic resize."""
    from PIL import Image
    from torchvision import transforms as t

    steps = [t.Resize((size, size), t.InterpolationMode.BICUBIC), t.ToTensor(), t.Normalize(*statistics)]
    return torch.stack([t.Compose(steps)(Image.fromarray(image)) for image in IMAGES])


@pytest.mark.parametrize("preset", TABLE, ids=lambda one: one.name)
def test_an_encoder_that_is_not_at_hand_says_what_to_type(preset: Preset) -> None:
    for spec in (preset.name, f"{preset.name}=/nowhere/else"):
        with pytest.raises(UserError) as error:
            open_extractor(spec)
        text = str(error.value)
        assert "\n" not in text
        assert preset.licence in text
        assert ("=TABLE" in text) if preset.kind == "table" else (f"--extractor {preset.name}={preset.name}" in text)
        if preset.kind != "table" and not preset.source.startswith("https:"):
            assert f"hf download {preset.source} {preset.files[0]}" in text


def test_the_documented_lines_are_those_of_the_messages() -> None:
    text = (Path(__file__).parents[4] / "docs" / "how-to" / "extractors.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\s*(hf download .*)$", text, re.MULTILINE)
    assert lines
    for line in lines:
        (preset,) = (one for one in TABLE if one.source == line.split()[2])
        with pytest.raises(UserError, match=re.escape(f"`{line}`")):
            open_extractor(preset.name)


def test_a_pickle_is_not_opened_and_its_conversion_works(tmp_path: Path) -> None:
    """The command of the message makes a file that is read, also of a checkpoint with tensors under a key."""
    swav, panderm = named("swav", architecture="test_resnet"), named("panderm")
    import timm

    model = timm.create_model("test_resnet", pretrained=False, num_classes=0)
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    file = tmp_path / "it's swav.pth.tar"
    torch.save(state | {"module.prototypes.weight": torch.zeros(3, 3)}, file)
    with pytest.raises(UserError, match=r"is a pickle, which can run code when opened") as error:
        open_preset(swav, str(file))
    command = str(error.value).split("`")[1]
    program = shlex.split(command)
    assert program[0] == "python"
    subprocess.run([sys.executable, *program[1:]], cwd=tmp_path, check=True)
    ours = open_preset(swav, str(tmp_path / "swav.safetensors")).embed(IMAGES)
    with torch.inference_mode():
        theirs = model.eval()(pixels(224, swav.statistics))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.save({"model": state, "args": argparse.Namespace(lr=1e-3)}, tmp_path / "panderm.pth")
    program = shlex.split(convert(panderm, Path("panderm.pth")).split("`")[1])
    subprocess.run([sys.executable, *program[1:]], cwd=tmp_path, check=True)
    assert load_file(tmp_path / "panderm.safetensors").keys() == state.keys()


def test_biomedclip_is_open_clips_image_embedding(tmp_path: Path) -> None:
    """A CLIP of BiomedCLIP's make (a timm trunk, a linear layer) in small, by open_clip itself."""
    pytest.importorskip("open_clip")
    from open_clip.timm_model import TimmModel

    tower = TimmModel("test_vit", embed_dim=24, image_size=160, pool="", proj="linear").eval()
    weights = {f"visual.{name}": value for name, value in tower.state_dict().items()}
    save_file(weights | {"text.transformer.weight": torch.zeros(2)}, tmp_path / "open_clip_model.safetensors")
    small = named("biomedclip", architecture="test_vit", size=160)
    ours = open_preset(small, str(tmp_path))
    with torch.inference_mode():
        theirs = tower(pixels(160, CLIP))
    np.testing.assert_allclose(ours.embed(IMAGES), theirs, rtol=1e-4, atol=1e-5)
    assert ours.metric("KD").startswith("KD[biomedclip@")
    save_file({n: v for n, v in weights.items() if "head" not in n}, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(UserError, match=r"no visual\.head\.proj\.weight, with which biomedclip ends"):
        open_preset(small, str(tmp_path))


def test_panderm_is_a_beit_with_fixed_positions(tmp_path: Path) -> None:
    """Its own code is under CC-BY-NC-ND, so transformers' BEiT stands for it: the same formulas by other hands."""
    from transformers import BeitConfig, BeitModel

    config = BeitConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=16
    )
    config.use_absolute_position_embeddings, config.layer_scale_init_value = True, 0.1
    config.use_mean_pooling, config.layer_norm_eps = False, 1e-6
    theirs = BeitModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.normal_(0, 0.3)
    save_file(_as_panderm(theirs.state_dict()), tmp_path / "panderm.safetensors")
    own = named("panderm")
    tiny = {"embed_dim": 16, "depth": 2, "num_heads": 2, "img_size": 32}
    small = replace(own, size=32, settings={**own.settings, **tiny})
    ours = open_preset(small, str(tmp_path / "panderm.safetensors")).embed(IMAGES)
    with torch.inference_mode():
        expected = theirs(pixels(32, own.statistics)).last_hidden_state[:, 0]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def _as_panderm(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """BEiT's weights under the names of PanDerm's checkpoint, with a part of its pretraining beside them."""
    out = {"decoder.weight": torch.zeros(2)}
    words = {
        "embeddings.cls_token": "cls_token",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection": "patch_embed.proj",
        "encoder.layer.": "blocks.",
        "attention.output.dense": "attn.proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "lambda_": "gamma_",
        "attention.attention.query.bias": "attn.q_bias",
        "attention.attention.value.bias": "attn.v_bias",
        "layernorm.": "norm.",
    }
    for name, value in state.items():
        for old, new in words.items():
            name = name.replace(old, new)
        if "attention.attention.query.weight" in name:
            at = name.partition("attention.attention")[0]
            parts = [state[_beit(at, part)] for part in ("query", "key", "value")]
            out[f"encoder.{at}attn.qkv.weight"] = torch.cat(parts)
        elif "attention.attention" not in name:
            out[f"encoder.{name}"] = value.clone()
    return out


def _beit(at: str, part: str) -> str:
    return at.replace("blocks.", "encoder.layer.") + f"attention.attention.{part}.weight"


def test_dinov2_and_monet_are_fed_as_their_cards_say(tmp_path: Path) -> None:
    """DINOv2 at 224 px, although its configuration names 518; CLIP by the processor of its folder."""
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    config = Dinov2Config(hidden_size=16, num_attention_heads=2, num_hidden_layers=1, image_size=56, patch_size=14)
    model = Dinov2Model(config).eval()
    model.save_pretrained(tmp_path)
    side = {"height": 28, "width": 28}
    processor = BitImageProcessor(size=side, crop_size=side, resample=3)
    processor.image_mean, processor.image_std = named("dinov2").statistics
    with torch.inference_mode():
        theirs = model(**processor(list(IMAGES), return_tensors="pt")).last_hidden_state[:, 0]
    ours = open_preset(named("dinov2", size=28), str(tmp_path))
    np.testing.assert_allclose(ours.embed(IMAGES), theirs, rtol=1e-3, atol=1e-4)
    assert ours.texts is None
    assert ours.name.startswith("dinov2@")


def test_a_model_in_the_hubs_cache_needs_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import Dinov2Config, Dinov2Model

    folder = tmp_path / "models--facebook--dinov2-base" / "snapshots" / ("0" * 40)
    (folder.parents[1] / "refs").mkdir(parents=True)
    (folder.parents[1] / "refs" / "main").write_text("0" * 40)
    model = Dinov2Model(Dinov2Config(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, image_size=28))
    model.save_pretrained(folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="hf download facebook/dinov2-base"):
        open_extractor("dinov2")  # the file that says how to prepare images is not there yet
    (folder / "preprocessor_config.json").write_text("{}")
    assert open_extractor("dinov2").name.startswith("dinov2@")
