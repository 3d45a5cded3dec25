"""A file is taken for the published model whose shapes it has; configurations and CLIP's tokenizer are carried."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from single_files import checkpoint, sd

from engines.checkpoint.folder import read_json
from engines.checkpoint.safetensors_file import Entry
from engines.checkpoint.skeleton import empty_network, read_family
from engines.checkpoint.tokenizer import open_tokenizer
from engines.checkpoint.weights import own_names
from engines.errors import EngineError
from engines.pipeline_spec import read_spec
from engines.single_file import described
from engines.single_file.described import CARRIED, carried, describe
from engines.single_file.tokenizers import write_clip
from engines.single_file.weights import find_part
from engines.source import Source, open_model

#: The transformers' tables of positions take seconds each to compute.
NAMES = [
    pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem.startswith("sd3") else [])
    for path in sorted(CARRIED.glob("*.json"))
]


def names_of(name: str, folder: Path) -> dict[str, Entry]:
    """The tensors of a published model's file, without their numbers."""
    one, found = describe(Path(name), _recognised(name), None), {}
    (folder / "model_index.json").write_text(json.dumps(one.index))
    for part, config in one.parts.items():
        (folder / part).mkdir(exist_ok=True)
        (folder / part / "config.json").write_text(json.dumps(config))
        network = empty_network(folder, part)
        settings = network.config.to_dict() if hasattr(network.config, "to_dict") else dict(network.config)
        layout = one.family.layouts[part][-1 if part == "text_encoder" and name == "sd2" else 0]
        state = network.state_dict()
        for own_name, own in own_names(folder, state).items():
            piece, shape = layout.piece(own, settings), list(state[own_name].shape)
            assert piece is not None
            if piece.turned:
                shape.reverse()
            if piece.rows is not None:
                shape[0] = shape[0] // (piece.rows[1] - piece.rows[0]) * piece.rows[2]
            found[layout.prefix + piece.name] = Entry("F16", tuple(shape))
    return found


def _recognised(name: str) -> dict[str, Entry]:
    return {key: Entry("F16", tuple(shape)) for key, shape in carried(name)["shapes"].items() if shape is not None}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_published_shapes_is_known_and_whole(name: str, tmp_path: Path) -> None:
    """At their full sizes, without numbers."""
    names = names_of(name, tmp_path)
    one = describe(tmp_path, names, None)
    assert one.title == carried(name)["title"]
    used: set[str] = set()
    for part in one.parts:
        found = find_part(tmp_path, names, part, empty_network(tmp_path, part), one.family.layouts[part])
        assert found is not None
        used |= found.names()
    assert used == set(names)
    assert read_family(tmp_path).name == one.family.name


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """A tiny model that is carried as if it were published, as one file."""

    def made(second: bool = False, in_channels: int = 4, **more: torch.Tensor) -> Path:
        folder = sd(tmp_path, second=second, in_channels=in_channels, tokens=(49408, 77))
        scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
        if second:
            del scheduler["prediction_type"]
        parts = {part: read_json(folder / part / "config.json") for part in ("unet", "vae", "text_encoder")}
        key = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
        config: dict[str, Any] = {
            "title": "Tiny Diffusion",
            "class": "StableDiffusionPipeline",
            "shapes": {key: [32, 32]},
            "parts": parts | {"unet": parts["unet"] | {"in_channels": 4}},
            "scheduler": scheduler,
            "tokenizers": {"tokenizer": "!" if second else "<|endoftext|>"},
            "sample_size": {"v_prediction": 12},
        }
        (tmp_path / "carried").mkdir()
        (tmp_path / "carried" / "tiny.json").write_text(json.dumps(config))
        monkeypatch.setattr(described, "CARRIED", tmp_path / "carried")
        carried.cache_clear()
        return checkpoint(folder, tmp_path / "model.safetensors", more=more)

    yield made
    carried.cache_clear()


def opened(path: Path, **said: Any) -> Any:
    with open_model(Source(path, **said)) as folder:
        return read_spec(folder)


def test_nothing_but_the_file_is_needed(published: Callable[..., Path], tmp_path: Path) -> None:
    path = published()
    spec = opened(path)
    assert (spec.prediction_type, spec.size, spec.unet_in_channels) == ("epsilon", 64, 4)
    assert spec.source.kind == "Tiny Diffusion"
    assert spec.tokens == {"tokenizer": 77}
    expected = read_spec(tmp_path / "pipeline")
    assert spec == expected.model_copy(update={"source": spec.source})


def test_an_inpainting_file_is_known_by_its_first_layer(published: Callable[..., Path]) -> None:
    assert opened(published(in_channels=9)).unet_in_channels == 9


@pytest.mark.parametrize("channels", [5, 8])
def test_other_channels_are_refused(published: Callable[..., Path], channels: int) -> None:
    with pytest.raises(EngineError, match=rf"takes {channels} channels; expected 4 .* or 9"):
        opened(published(in_channels=channels))


def test_what_is_predicted_is_asked_for_where_nothing_says_it(published: Callable[..., Path]) -> None:
    path = published(second=True)
    with pytest.raises(EngineError, match="nothing in a file says what its UNet predicts"):
        opened(path)
    for said, size in (("epsilon", 64), ("v_prediction", 96)):
        spec = opened(path, prediction_type=said)
        assert (spec.prediction_type, spec.size, spec.source.prediction_type) == (said, size, said)


def test_a_file_that_is_marked_says_it_itself(published: Callable[..., Path]) -> None:
    path = published(second=True, v_pred=torch.zeros(0), ztsnr=torch.zeros(0))
    spec = opened(path)
    assert spec.prediction_type == "v_prediction"
    assert spec.scheduler["rescale_betas_zero_snr"] is True
    with pytest.raises(EngineError, match="is marked as predicting v"):
        opened(path, prediction_type="epsilon")


def test_the_tokens_of_clip_have_their_published_numbers(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"} | {
        "tokenizer": ["transformers", "CLIPTokenizer"]}))  # fmt: skip
    for pad, number in (("<|endoftext|>", 49407), ("!", 0)):
        write_clip(tmp_path / "tokenizer", pad)
        tokenizer = open_tokenizer(tmp_path)
        assert len(tokenizer) == 49408
        ids = tokenizer("A photo of a cat", padding="max_length").input_ids
        assert ids == [49406, 320, 1125, 539, 320, 2368, 49407, *[number] * 70]
        for file in (tmp_path / "tokenizer").iterdir():
            file.unlink()
        (tmp_path / "tokenizer").rmdir()
