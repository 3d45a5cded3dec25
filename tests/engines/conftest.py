"""A pipeline of real parts and small numbers: every engine test exports, builds or runs this one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from engines import Bundle, build, read_bundle

CLASSES, GROUPS = ["annulus", "plaque"], ["light", "dark"]
TEMPLATE = "An image of {class}, {group} skin"


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's tokenizer over single letters: real code, a vocabulary of 60."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + [","]
    vocab = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocab)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)


def tiny_pipeline(
    folder: Path, *, in_channels: int = 4, width: int = 32, seed: int = 0, text_act: str = "quick_gelu", **unet: Any
) -> StableDiffusionPipeline:
    """64 px, 4x8x8 latents, the built-in pipeline's block types, random weights."""
    torch.manual_seed(seed)
    tokenizer = write_tokenizer(folder / "tokenizer-source")
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=16,
            projection_dim=32,
            hidden_act=text_act,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    options: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": in_channels,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (width, 2 * width),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
        "resnet_time_scale_shift": "scale_shift",
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 4,
    }
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.8,
    )
    with torch.no_grad():  # random weights draw a flat grey: spread it, or a constant image would be refused
        vae.decoder.conv_out.weight.mul_(8)
    scheduler = DDIMScheduler(
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=False,
    )
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(**(options | unet)),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(torch.float32)


def write_model(folder: Path, **options: Any) -> Path:
    """The pipeline as a folder, with the classes and groups that its prompts name."""
    pipeline = tiny_pipeline(folder.parent / f"{folder.name}-parts", **options)
    pipeline.save_pretrained(folder)
    described = {
        "classes": CLASSES,
        "groups": GROUPS,
        "prompt_template": TEMPLATE,
        "lineage": ["real-1", "real-2"],
        "phantom": True,
        "validation_prompts": [
            {"prompt": TEMPLATE.format_map({"class": c, "group": g}), "class": c, "group": g}
            for c in CLASSES
            for g in GROUPS
        ],
    }
    (folder / "dermforge.json").write_text(json.dumps(described))
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline's folder."""
    return write_model(tmp_path_factory.mktemp("engines") / "model")


@pytest.fixture(scope="session")
def bundle(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny pipeline's CPU bundle, certified."""
    return build(model, tmp_path_factory.mktemp("bundles") / "bundle", rows=4)


@pytest.fixture(scope="session")
def torch_bundle(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny pipeline's bundle for torch, from files that only their owner can read."""
    private = Path(shutil.copytree(model, tmp_path_factory.mktemp("private") / "model"))
    for path in private.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return build(private, tmp_path_factory.mktemp("torch-bundles") / "bundle", backend="torch", rows=4)


@pytest.fixture(scope="session")
def half(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny pipeline in fp16 with engine files for sm_89."""
    pytest.importorskip("tensorrt_rtx_bindings")
    out = tmp_path_factory.mktemp("engine-files") / "bundle"
    return build(model, out, backend="tensorrt-rtx", target="sm_89", precision="fp16", rows=4)


@pytest.fixture
def copied(bundle: Bundle, tmp_path: Path) -> Bundle:
    """A copy of the bundle that a test may damage."""
    shutil.copytree(bundle.folder, tmp_path / "bundle")
    return read_bundle(tmp_path / "bundle")


@pytest.fixture
def make_pipeline(tmp_path: Path) -> Callable[..., StableDiffusionPipeline]:
    """`tiny_pipeline` in a folder of the test's own."""
    return partial(tiny_pipeline, tmp_path / "pipeline")


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Another tiny pipeline's folder: options as `tiny_pipeline`."""
    return lambda **options: write_model(tmp_path_factory.mktemp("models") / "model", **options)
