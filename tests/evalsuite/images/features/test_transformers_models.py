"""Folders in transformers' layout: features of local files alone, whole or refused, and texts where CLIP has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dermforge.common.errors import UserError
from evalsuite.images.features.extractors import open_extractor


def test_transformers_models_come_from_a_local_folder(tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, Dinov2Config, Dinov2Model

    small = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "image_size": 28, "patch_size": 14}
    CLIPVisionModelWithProjection(CLIPVisionConfig(**small, intermediate_size=16, projection_dim=8)).save_pretrained(
        tmp_path / "clip"
    )
    Dinov2Model(Dinov2Config(**small)).save_pretrained(tmp_path / "dinov2")
    images = np.zeros((3, 40, 40, 3), np.uint8)
    clip = open_extractor(f"transformers:{tmp_path / 'clip'}")
    dinov2 = open_extractor(f"transformers:{tmp_path / 'dinov2'}")
    assert clip.embed(images).shape == (3, 8)
    assert dinov2.embed(images).shape == (3, 16)
    assert clip.metric("MMD") != "CMMD"  # only ViT-L/14 at 336 px is
    assert dinov2.metric("FD") == "FD[dinov2-h16p14-28]"
    config = tmp_path / "dinov2" / "config.json"
    config.write_text(config.read_text().replace('"layer_norm_eps": 1e-06', '"layer_norm_eps": 1e-05'))
    assert open_extractor(f"transformers:{tmp_path / 'dinov2'}").digest != dinov2.digest  # cached features are others
    (tmp_path / "clip" / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}')
    with pytest.raises(UserError, match=r"holds adapter_config\.json: merge the adapter"):
        open_extractor(f"transformers:{tmp_path / 'clip'}")


@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_no_weight_of_a_transformers_model_is_drawn_at_random(kind: str, tmp_path: Path) -> None:
    """Each weight taken away is missed, each one too many in the network is named; what is beside it is left out."""
    from safetensors.torch import load_file, save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, Dinov2Config, Dinov2Model

    small = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "image_size": 28, "patch_size": 14}
    if kind == "clip":
        CLIPVisionModelWithProjection(
            CLIPVisionConfig(**small, intermediate_size=16, projection_dim=8)
        ).save_pretrained(tmp_path)
    else:
        Dinov2Model(Dinov2Config(**small)).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    beside = {"text_model.embeddings.weight": torch.zeros(2), "classifier.bias": torch.zeros(2)}
    save_file(weights | beside, file, metadata={"format": "pt"})
    open_extractor(f"transformers:{tmp_path}")
    for name in sorted(weights)[::4]:
        save_file({n: value for n, value in weights.items() if n != name}, file, metadata={"format": "pt"})
        with pytest.raises(UserError, match=r"1 weights of .* are missing, the first"):
            open_extractor(f"transformers:{tmp_path}")
        save_file(weights | {f"{name}_2": torch.zeros(2)}, file, metadata={"format": "pt"})
        with pytest.raises(UserError, match=r"1 weights of .* are unknown, the first"):
            open_extractor(f"transformers:{tmp_path}")
