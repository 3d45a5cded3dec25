"""Every family: its images are those of diffusers' own pipeline, and an unknown one is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from family_pipelines import PIPELINES

from engines import Bundle, build, load
from engines.certificate import read_certificate
from engines.conditioning import chosen
from engines.errors import EngineError
from engines.models import families, family_of
from engines.models.flux import packed, unpacked
from engines.pipeline_spec import read_spec

SIZE = 64


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make: Callable[[Path], Path] = PIPELINES[request.param]
    return make(tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def built(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Its graphs in ONNX Runtime."""
    return build(folder, tmp_path_factory.mktemp("bundle") / "bundle", rows=4, size=SIZE, prompts=["a nodule", ""])


def each(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("folder", names, indirect=True)


@each("sdxl", "sdxl-encoded", "sd3", "flux-dev", "pixart")  # the others: tests/gen/sampling/test_families.py
def test_its_images_are_those_of_diffusers(built: Bundle) -> None:
    """The certificate draws with diffusers' pipeline of that class from the same noise: 50 dB in float32."""
    certificate = read_certificate(built)
    assert certificate.passed
    assert certificate.images.psnr_worst >= 50
    assert certificate.own_steps is False


@each("sdxl", "sd3", "flux-dev", "pixart")
def test_rows_change_nothing_but_time(built: Bundle) -> None:
    """Whichever rows stand together in a call of the denoiser."""
    engine = load(built.folder)
    spec, noise = engine.spec, torch.Generator().manual_seed(0)
    latents = torch.randn(6, spec.unet_in_channels, spec.latent_size, spec.latent_size, generator=noise)
    words, times = engine.encode_text(list("abcabc")), torch.linspace(900, 100, 6)
    together = engine.denoise(latents, times, words)
    for row in (0, 5):
        alone = engine.denoise(latents[[row]], times[[row]], chosen(words, [row]))
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-4)


@each("sdxl", "sdxl-encoded")
def test_an_empty_negative_prompt_is_what_diffusers_takes_it_for(built: Bundle) -> None:
    engine = load(built.folder)
    positive, negative = engine.encode_text([""]), engine.encode_text([""], negative=True)
    zeros = engine.spec.empty_prompt == "zeros"
    assert bool(negative["text"].any()) is not zeros
    assert positive["text"].any()
    assert torch.equal(positive["time_ids"], negative["time_ids"])


@each("flux-dev", "flux-schnell")
def test_guidance_is_an_input_where_it_was_distilled(folder: Path) -> None:
    spec = read_spec(folder, SIZE)
    assert spec.guidance == ("embedded" if "guidance" in spec.conditioning else "none")


@pytest.mark.parametrize("side", [2, 4, 6])
def test_packing_is_undone(side: int) -> None:
    latents = torch.randn(2, 3, side, side)
    assert torch.equal(unpacked(packed(latents), side), latents)


def test_an_unknown_kind_of_pipeline_names_those_that_are_known() -> None:
    with pytest.raises(EngineError, match=r"holds a SanaPipeline.*FLUX\.1 \(FluxPipeline.*a file of its own"):
        family_of(Path("folder"), {"_class_name": "SanaPipeline"})


def test_no_class_belongs_to_two_families() -> None:
    named = [name for family in families().values() for name in family.pipelines]
    assert len(named) == len(set(named))
