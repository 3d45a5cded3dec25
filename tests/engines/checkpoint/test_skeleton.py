"""A folder becomes diffusers' own pipeline object without weights, or is refused by the part that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.checkpoint.skeleton import empty_pipeline
from engines.errors import EngineError
from engines.pipeline_spec import read_spec


def test_the_networks_have_shapes_and_no_values(folder: Path) -> None:
    pipeline = empty_pipeline(folder)
    assert all(p.is_meta for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder) for p in part.parameters())
    assert pipeline.vae_scale_factor == 8


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_code_in_the_folder_is_not_run(folder: Path, part: str) -> None:
    """Diffusers imports a part's class from a file in the folder where the index names one."""
    index = json.loads((folder / "model_index.json").read_text())
    index[part][0] = "own_code"
    (folder / "model_index.json").write_text(json.dumps(index))
    marker = folder / "ran"
    (folder / part / "own_code.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    with pytest.raises(EngineError, match=f"takes its {part} from 'own_code'.*is not run"):
        read_spec(folder)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["unet/diffusers.py", "scheduler/diffusers.py", "text_encoder/transformers.py", "tokenizer/transformers.py"]
)
def test_a_file_that_diffusers_would_run_is_refused(folder: Path, name: str) -> None:
    """It takes a part's class from a file of the library's name in the part's folder, asking nobody."""
    (folder / name).write_text(f"open({str(folder / 'ran')!r}, 'w').close()\n")
    with pytest.raises(EngineError, match=rf"{name} is code, and code in a model's folder is not run: take it away"):
        read_spec(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("file", "values", "word"),
    [
        ("model_index.json", {"unet": None}, "names no unet"),
        ("model_index.json", {"_class_name": None}, "says no _class_name, which names the kind of pipeline"),
        ("model_index.json", {"_class_name": 7}, "says 7 as _class_name"),
        (
            "model_index.json",
            {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]},
            "StableDiffusionPipeline, which has no text_encoder_2: .* expected StableDiffusionXLPipeline",
        ),
        ("model_index.json", {"unet": ["diffusers", "UNetMotionModel"]}, "unet is of the class UNetMotionModel"),
        ("model_index.json", {"controlnet": ["diffusers", "ControlNetModel"]}, "controlnet = .*does not know"),
        ("unet/config.json", {"sample_size": [8, 16]}, r"sample_size = .*give the size"),
        ("unet/config.json", {"sample_size": None}, r"sample_size = None.*give the size"),
        ("unet/config.json", {"sample_size": "8"}, r"sample_size = 8.*give the size"),
        ("unet/config.json", {"block_out_channels": []}, "describes no UNet2DConditionModel"),
        ("unet/config.json", {"block_out_channels": None}, "describes no UNet2DConditionModel"),
        ("unet/config.json", {"down_block_types": ["X", "Y"]}, "describes no UNet2DConditionModel"),
        ("unet/config.json", {"in_channels": 8}, r"takes 8 channels; expected 4 \(text to image\) or 9"),
        ("unet/config.json", {"out_channels": 8}, "gives 8 channels; expected 4"),
        ("vae/config.json", {"scaling_factor": None}, "scaling_factor = None"),
        ("vae/config.json", {"scaling_factor": 0}, "scaling_factor = 0"),
        ("vae/config.json", {"shift_factor": 0.1}, "shift_factor = 0.1"),
        ("vae/config.json", {"latents_mean": [0.0] * 4}, "latents_mean = "),
        (
            "unet/config.json",
            {"_class_name": None},
            "is of the class None; this version builds engines of UNet2DConditionModel",
        ),
        (
            "text_encoder/config.json",
            {"architectures": 5},
            "is of the class 5; this version builds engines of CLIPTextModel",
        ),
        ("text_encoder/config.json", {"architectures": ["T5EncoderModel"]}, "is of the class T5EncoderModel"),
        ("text_encoder/config.json", {"hidden_size": 48}, "UNet expects text of 32 dimensions and the text encoder"),
        ("text_encoder/config.json", {"hidden_size": None}, "describes no CLIPTextModel"),
        ("text_encoder/config.json", {"num_attention_heads": 3}, "describes no CLIPTextModel"),
        ("text_encoder/config.json", {"hidden_act": "none"}, "describes no CLIPTextModel"),
        ("text_encoder/config.json", {"use_attention_mask": True}, "use_attention_mask = True"),
        ("text_encoder/config.json", {"quantization_config": {"bits": 4}}, "quantization_config = "),
    ],
)
def test_what_is_wrong_is_named_in_one_line(
    folder: Path, edit: Callable[..., None], file: str, values: dict[str, object], word: str
) -> None:
    edit(file, **values)
    with pytest.raises(EngineError, match=word) as caught:
        read_spec(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("part", "line"), [("vae", '"_class_name": "AutoencoderKL"'), ("text_encoder", "CLIPTextModel")]
)
def test_an_empty_configuration_names_no_class(folder: Path, part: str, line: str) -> None:
    (folder / part / "config.json").write_text("{}")
    with pytest.raises(EngineError, match=f"config.json names no class: restore it, or add .*{line}"):
        read_spec(folder)


def test_a_file_that_is_nested_without_end_is_not_json(folder: Path) -> None:
    (folder / "model_index.json").write_text("[" * 100_000)
    with pytest.raises(EngineError, match=r"model_index.json is not JSON"):
        read_spec(folder)


def test_a_missing_width_has_the_default_of_its_class(folder: Path) -> None:
    """Diffusers reads it so; what it then does not fit is named."""
    path = folder / "text_encoder" / "config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "hidden_size"}))
    with pytest.raises(EngineError, match="text of 32 dimensions and the text encoder gives 512"):
        read_spec(folder)


@pytest.mark.parametrize(("values", "side"), [({"sample_size": [8, 8]}, 64), ({"_diffusers_version": "0.6.0"}, 512)])
def test_the_size_is_that_of_diffusers(
    folder: Path, edit: Callable[..., None], values: dict[str, object], side: int
) -> None:
    """In folders of diffusers before 0.9 a sample_size below 64 is taken for 64."""
    edit("unet/config.json", **values)
    assert read_spec(folder).size == side


def test_a_size_that_is_given_needs_no_other(folder: Path, edit: Callable[..., None]) -> None:
    edit("unet/config.json", sample_size=None)
    assert read_spec(folder, 64).size == 64
