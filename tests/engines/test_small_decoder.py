"""A small decoder decodes in the place of the VAE's own, in every backend, and the certificate compares the two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file

from dermforge.common import id_ranges
from engines import build, load
from engines.adapters import with_decoder
from engines.adapters.folder import link_parts
from engines.certificate import read_certificate
from engines.errors import EngineError, ParityError
from engines.pipeline_spec import model_digest, read_spec
from engines.small_decoder import SmallDecoder, load_network


def tiny(folder: Path, **options: object) -> Path:
    """A decoder with random weights, as diffusers writes it."""
    torch.manual_seed(0)
    sizes = {"decoder_block_out_channels": (8,) * 4, "encoder_block_out_channels": (4,) * 4}
    AutoencoderTiny(**(sizes | options)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("decoder") / "taesd")


def test_it_gives_what_diffusers_gives_in_the_place_of_the_vae(model: Path, decoder: Path) -> None:
    latents = torch.randn(2, 4, 8, 8)
    with with_decoder(model, decoder) as folder:
        spec, vae = read_spec(folder), load_network(folder, "vae")
    expected = AutoencoderTiny.from_pretrained(decoder).decode(latents).sample
    got = vae.decode(latents / spec.scaling_factor + spec.shift_factor).sample
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    assert isinstance(vae.decoder, SmallDecoder)
    assert not isinstance(load_network(model, "vae").decoder, SmallDecoder)


def test_a_shift_and_scales_are_followed(model: Path, decoder: Path) -> None:
    vae = load_network(model, "vae")
    vae.register_to_config(shift_factor=0.25)
    network = AutoencoderTiny.from_pretrained(decoder)
    network.register_to_config(scaling_factor=2.0, shift_factor=-0.5)
    latents = torch.randn(1, 4, 8, 8)
    got = SmallDecoder(network, vae)(latents / vae.config.scaling_factor + 0.25)
    torch.testing.assert_close(got, network.decoder(latents / 2.0 - 0.5), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backend", [pytest.param("onnxruntime", marks=pytest.mark.slow), "torch"])
def test_a_bundle_decodes_by_it_and_says_so(backend: str, model: Path, decoder: Path, tmp_path: Path) -> None:
    with with_decoder(model, decoder) as folder:
        own = model_digest(folder)
        with pytest.raises(ParityError, match="the small decoder compared with the VAE's: mean PSNR") as refused:
            build(folder, tmp_path / "bundle", backend=backend, rows=4)
        assert "train it longer, or leave it out (`decoder`), or set `allow" in str(refused.value)
        assert "float32 is as exact" not in str(refused.value)
        bundle = build(folder, tmp_path / "bundle", backend=backend, rows=4, allow_parity_failure=True)
    certificate, spec = read_certificate(bundle), bundle.manifest.spec
    assert own == bundle.manifest.model_digest != model_digest(model)
    assert spec.small_decoder
    assert [(a.file, a.kind) for a in spec.adapters] == [("taesd", "decoder")]
    assert id_ranges.without_record(spec.lineage)  # nobody recorded what a ready-made decoder saw
    assert certificate.decoder is not None
    assert certificate.decoder.failures() == certificate.failures  # the engine itself is as exact as any
    assert set(certificate.decoder.tone) == {"all", "light", "dark"}
    assert certificate.components["vae_decoder"]["real"] < 1e-4
    engine = load(bundle.folder)
    latents = torch.randn(3, 4, 8, 8)
    with torch.no_grad():
        pixels = AutoencoderTiny.from_pretrained(decoder).decode(latents).sample
    exact = (pixels * 127.5 + 127.5).clamp(0, 255).permute(0, 2, 3, 1)
    assert float((engine.decode(latents).float() - exact).abs().max()) <= 0.51
    assert engine.encode(engine.decode(latents)).shape == latents.shape


def test_without_one_nothing_changes(bundle: object, model: Path) -> None:
    with with_decoder(model, None) as folder:
        assert folder == model
    assert read_certificate(bundle).decoder is None  # type: ignore[arg-type]


def test_it_stays_when_adapters_are_fused(model: Path, decoder: Path, tmp_path: Path) -> None:
    with with_decoder(model, decoder) as folder:
        link_parts(folder, tmp_path / "fused")
        assert read_spec(tmp_path / "fused").small_decoder


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"latent_channels": 16}, "latents of 16 channels, and those of the pipeline have 4"),
        (
            {"decoder_block_out_channels": (8,) * 3, "num_decoder_blocks": (1, 1, 1)},
            "makes 4 pixels a side of each latent, and the pipeline's VAE makes 8",
        ),
        ({"out_channels": 4}, "out_channels"),
    ],
)
def test_a_decoder_of_other_latents_is_refused(
    options: dict[str, object], said: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=said), with_decoder(model, tiny(tmp_path / "other", **options)):
        pass


def test_a_damaged_or_changed_decoder_is_refused(model: Path, decoder: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no decoder at"), with_decoder(model, tmp_path / "nothing"):
        pass
    place = tiny(tmp_path / "short")
    file = place / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({k: v for k, v in weights.items() if "decoder.layers.0" not in k}, file)
    with pytest.raises(EngineError, match=f"{place}: .*missing"), with_decoder(model, place):
        pass
    place = tiny(tmp_path / "code")
    (place / "x.py").write_text("1")
    with pytest.raises(EngineError, match="is code"), with_decoder(model, place):
        pass
    place = tiny(tmp_path / "pickled")
    (place / "diffusion_pytorch_model.safetensors").rename(place / "diffusion_pytorch_model.bin")
    with (
        pytest.raises(EngineError, match=f"is a pickle.*AutoModel.* {place} {place}-safe`"),
        with_decoder(model, place),
    ):
        pass
    place = tiny(tmp_path / "changed")
    (place / "dermforge.json").write_text(json.dumps({"lineage": [], "files": {"config.json": "0" * 64}}))
    with pytest.raises(EngineError, match="was changed after it was written"), with_decoder(model, place):
        pass


def test_its_images_are_in_the_lineage(model: Path, tmp_path: Path) -> None:
    place = tiny(tmp_path / "own")
    (place / "dermforge.json").write_text(json.dumps({"lineage": ["real-2", "mine-1"], "phantom": False}))
    with with_decoder(model, place) as folder:
        assert read_spec(folder).lineage == ["real-1", "real-2", "mine-1"]
        assert read_spec(folder).phantom  # the pipeline's own word stays
