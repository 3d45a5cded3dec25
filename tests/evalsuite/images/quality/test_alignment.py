"""The score of images with their prompts is CLIPScore's, and its references tell what it is worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_helpers import PLAIN, features

from dermforge.common.errors import DataWarning
from evalsuite.images.features.extract import Features
from evalsuite.images.features.extractors import open_extractor
from evalsuite.images.image_data import ArrayImages, array_images
from evalsuite.images.quality.alignment import NO_PROMPTS, alignment_table, clip_score
from evalsuite.images.quality.quality_report import measure_quality, quality_section

WORDS = [f"a photograph of class c{k}" for k in range(3)]


def texts(prompts: Any) -> np.ndarray:
    """The place of a class in the clouds of `features`."""
    return np.stack([np.eye(8)[int(prompt[-1])] for prompt in prompts]).astype(np.float32)


def clip(side: Features) -> Features:
    return replace(side, extractor=replace(PLAIN, texts=texts))


def prompts(side: Features) -> list[str | None]:
    return [f"a photograph of class {label}" for label in side.frame["class"]]


def test_right_prompts_score_like_real_images_and_wrong_ones_lower() -> None:
    real, made = clip(features(240)), clip(features(300, seed=1))
    table: Any = alignment_table(real, made, prompts(made)).set_index(["family", "cell", "kind"])
    own, reference, others = (table.loc["overall", "all", kind] for kind in ("own", "real", "others"))
    expected = [
        2.5 * max(v[int(c[1])] / np.linalg.norm(v), 0) for v, c in zip(made.values, made.frame["class"], strict=True)
    ]
    assert own["value"] == pytest.approx(np.mean(expected), rel=1e-6)
    assert own["low"] < reference["value"] < own["high"]
    assert others["high"] < own["low"]
    assert table.loc["class", "c1", "own"]["n"] == 100


def test_prompts_of_another_class_are_found() -> None:
    """The class c0 was drawn by a generator that draws c1 for it: only its cell falls behind the real images."""
    real, made = clip(features(240)), clip(features(300, seed=1))
    asked = [WORDS[1] if label == "c0" else f"a photograph of class {label}" for label in made.frame["class"]]
    table: Any = alignment_table(real, made, asked).set_index(["family", "cell", "kind"])
    wrong, right = table.loc["class", "c0", "own"], table.loc["class", "c2", "own"]
    assert wrong["high"] < right["low"]


def test_real_images_count_as_the_synthetic_ones_do() -> None:
    """Ten of eleven synthetic images are of c0, and the others of c1; the real set has as many of both."""
    real, made = clip(features(240, groups=("light",))), clip(features(300, seed=1, groups=("light",)))
    rare = made.frame["class"].eq("c0") | (made.frame["class"].eq("c1") & (np.arange(300) < 30))
    part = replace(made, values=made.values[rare.to_numpy()], frame=made.frame[rare].reset_index(drop=True))
    table: Any = alignment_table(real, part, prompts(part)).set_index(["family", "cell", "kind"])
    share = (part.frame["class"] == "c0").mean()
    mean = {
        c: clip_score(real.values[(real.frame["class"] == f"c{c}").to_numpy()], texts([WORDS[c]])).mean()
        for c in (0, 1)
    }
    expected = share * mean[0] + (1 - share) * mean[1]
    assert table.loc["overall", "all", "real"]["value"] == pytest.approx(expected, rel=1e-6)


def test_without_prompts_or_enough_images_there_is_not_enough_data() -> None:
    real, made = clip(features(240)), clip(features(300, seed=1))
    none = alignment_table(real, made, [None] * 300).iloc[0]
    assert np.isnan(none["value"])
    assert none["note"] == NO_PROMPTS
    few: Any = alignment_table(real, made, [*prompts(made)[:5], *[None] * 295]).set_index(["family", "kind"])
    assert np.isnan(few.loc["overall", "own"]["value"])
    assert "5 images with a prompt" in few.loc["overall", "own"]["note"]


def clip_folder(folder: Path) -> Path:
    """A tiny CLIP in transformers' layout, with the tokenizer of single letters."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

    letters = [chr(97 + i) for i in range(26)]
    vocabulary = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(str({word: i for i, word in enumerate(vocabulary)}).replace("'", '"'))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(folder / "vocab.json", folder / "merges.txt", model_max_length=16).save_pretrained(folder)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    small["projection_dim"] = 8
    torch.manual_seed(0)
    ends = {"bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    model = CLIPModel(
        CLIPConfig.from_text_vision_configs(
            CLIPTextConfig(**small, **ends, vocab_size=54, max_position_embeddings=16),
            CLIPVisionConfig(**small, image_size=28, patch_size=14),
            projection_dim=8,
        )
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]}')
    return folder


def test_the_score_is_torchmetrics_clip_score(tmp_path: Path) -> None:
    """The same folder by transformers' own processor and torchmetrics' formula, which has 100 in the place of 2.5."""
    pytest.importorskip("torchmetrics")
    from torchmetrics.functional.multimodal import clip_score as theirs
    from transformers import CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizerFast

    folder = clip_folder(tmp_path)
    side = {"height": 28, "width": 28}
    prepare = CLIPImageProcessor(size=side, crop_size=side, image_mean=[0.5, 0.4, 0.3], image_std=[0.2] * 3)
    processor = CLIPProcessor(prepare, CLIPTokenizerFast.from_pretrained(folder))
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28, 3)).astype(np.uint8)
    words = ["dark skin", "light", "a b c", "nodule", "plaque on skin", "ulcer"]
    model = CLIPModel.from_pretrained(folder).eval()
    encoder = open_extractor(f"transformers:{folder}")
    assert encoder.texts is not None
    ours = np.diag(clip_score(encoder.embed(images), encoder.texts(words)))
    expected = [
        theirs(torch.from_numpy(image).permute(2, 0, 1), word, lambda: (model, processor)).item() * 2.5 / 100
        for image, word in zip(images, words, strict=True)
    ]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    assert max(expected) > 0.05
    with pytest.warns(DataWarning, match="1 prompts are longer than 16 tokens"):
        encoder.texts(["a prompt of many letters"])


def test_quality_measures_alignment_where_an_encoder_reads_texts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    real, made = (array_images(rng.integers(0, 256, (24, 28, 28, 3)).astype(np.uint8), name=n) for n in ("r", "s"))
    asked = ArrayImages([s.model_copy(update={"prompt": "skin"}) for s in made.samples], made.arrays)
    folder = clip_folder(tmp_path)
    report = measure_quality(real=real, synthetic=asked, extractors=[f"transformers:{folder}"], resamples=10)
    assert report.alignment["n"].iloc[0] == 24
    captions = [table.caption for table in quality_section(report).shown["fidelity"]]
    assert any(caption.startswith("Do images show what their prompts say?") for caption in captions)
    plain = measure_quality(real=real, synthetic=asked, extractors=["colour-structure"], resamples=10)
    assert plain.alignment.empty
