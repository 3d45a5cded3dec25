"""What each method changes, compared with what diffusers makes of the same adapter or word."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from finetune_helpers import run, same, unet
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from engines.adapters.files import read_adapter
from engines.checkpoint.weights import read_weights
from engines.pipeline_spec import read_spec

pytestmark = pytest.mark.usefixtures("fresh_accelerator")


def test_a_fused_adapter_is_the_base_with_the_adapter(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parity with diffusers' own `load_lora_weights` of the adapter that is kept."""
    out = tmp_path / "tuned"
    options = {"method": "lora", "steps": 4, "learning_rate": 0.01, "keep_adapter": True}
    assert run(monkeypatch, model=random_pipeline, data=images, out=out, **options) == 0
    fused = UNet2DConditionModel.from_pretrained(out / "unet")
    pipeline = StableDiffusionPipeline.from_pretrained(random_pipeline, safety_checker=None)
    spec = read_spec(random_pipeline)
    x = torch.randn(2, spec.latent_channels, spec.latent_size, spec.latent_size)
    t, words = torch.tensor([10, 900]), torch.randn(2, *spec.conditioning["text"])
    with torch.no_grad():
        plain = pipeline.unet(x, t, words).sample
        pipeline.load_lora_weights(out / "lora", weight_name=next((out / "lora").glob("*.safetensors")).name)
        adapted, ours = pipeline.unet(x, t, words).sample, fused(x, t, words).sample
    torch.testing.assert_close(ours, adapted, atol=1e-4, rtol=1e-4)
    kept = read_adapter(next((out / "lora").glob("*.safetensors")))
    assert kept.lineage() == read_spec(out).lineage
    assert kept.phantom() == read_spec(out).phantom
    assert (ours - plain).abs().max() > 1e-3


def test_textual_inversion_learns_words_and_nothing_else(
    random_pipeline: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tuned"
    assert run(monkeypatch, model=random_pipeline, data=images, out=out, method="textual-inversion", steps=3) == 0
    assert same(unet(random_pipeline), unet(out))
    before, after = read_weights(random_pipeline, "text_encoder"), load_file(out / "text_encoder" / "model.safetensors")
    table = "text_model.embeddings.token_embedding.weight"
    assert all(torch.equal(before[k], after[k]) for k in before if k != table)
    n = len(before[table])
    assert torch.equal(after[table][:n], before[table])
    assert len(after[table]) == n + 2
    assert read_spec(out).prompt_template == "An image of <{class}>"
    tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    assert n in tokenizer("An image of <lichen planus>").input_ids
    assert n + 1 in tokenizer("An image of <plaque>").input_ids
    pipeline = StableDiffusionPipeline.from_pretrained(random_pipeline, safety_checker=None)
    pipeline.load_textual_inversion(out / "words", weight_name="plaque.safetensors")
    assert torch.equal(pipeline.text_encoder.get_input_embeddings().weight[-1], after[table][-1])
