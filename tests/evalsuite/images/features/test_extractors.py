"""Extractors name themselves truthfully and refuse unchecked code."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from image_helpers import phantom_set
from PIL import Image, ImageFilter

from dermforge.common.errors import UserError
from dermforge.common.regular_file import read_regular
from evalsuite.images.features import extractors
from evalsuite.images.features.extractors import (
    Extractor,
    colour_structure,
    open_extractor,
    open_extractors,
    random_conv,
    torchscript,
)
from evalsuite.images.quality.fid import frechet_distance, moments

PINNED = [-2.30284, 3.08895, 1.63214]


def scripted(folder: Path) -> tuple[Path, str]:
    """A tiny TorchScript file and its digest."""

    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

    file = folder / "mean.pt"
    torch.jit.script(Mean()).save(str(file))
    return file, hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("extractor", [random_conv(), colour_structure()], ids=lambda e: e.name)
def test_default_features_are_fixed_finite_and_see_damage(extractor: extractors.Extractor) -> None:
    """Blur and a change of tone move the features further than another draw of the same phantoms does."""
    data = phantom_set(216)
    images = np.stack(data.arrays)
    a, b = extractor.embed(images[:108]), extractor.embed(images[108:])
    again = extractor.embed(images[:108])
    assert np.array_equal(a, again)
    assert np.isfinite(a).all()

    def distance(other: np.ndarray) -> float:
        return frechet_distance(moments(b), moments(extractor.embed(other)))

    blurred = [np.asarray(Image.fromarray(i).filter(ImageFilter.GaussianBlur(2))) for i in images[:108]]
    same = frechet_distance(moments(a), moments(b))
    assert distance(np.stack(blurred)) > 1.5 * same
    assert distance((images[:108] * 0.7).astype(np.uint8)) > 1.5 * same


def test_random_conv_weights_are_pinned() -> None:
    """The name promises one network: a change of its numbers must change the name."""
    image = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(1, 64, 64, 3).astype(np.uint8)
    np.testing.assert_allclose(random_conv().embed(image)[0, :3], PINNED, atol=2e-4)


def test_only_the_inception_fid_network_gives_fid() -> None:
    plain = random_conv()
    assert plain.metric("FD") == "FD[random-conv-seed0]"
    inception = extractors.Extractor("inception-fid", "x", plain.embed)
    assert (inception.metric("FD"), inception.metric("KD"), inception.metric("MMD")) == (
        "FID",
        "KID",
        "MMD[inception-fid]",
    )


def test_torchscript_needs_its_digest_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, digest = scripted(tmp_path)
    assert torchscript(file, digest, size=32).embed(np.zeros((2, 40, 40, 3), np.uint8)).shape == (2, 3)
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded unchecked code"))
    for wrong in ("", "0" * 64):
        with pytest.raises(UserError, match=r"sha256|digest"):
            torchscript(file, wrong)


@pytest.mark.parametrize(
    "spec",
    [
        "inception",
        "timm:resnet18=/nowhere.safetensors",
        "timm:resnet18=/nowhere.bin",
        "torchscript:/nowhere.pt#00",
        "transformers:openai/clip-vit-base-patch32",
    ],
)
def test_bad_extractors_are_refused_in_one_line(spec: str) -> None:
    """Also a hub name: nothing is downloaded."""
    with pytest.raises(UserError) as error:
        open_extractor(spec)
    assert "\n" not in str(error.value)


def test_timm_weights_come_from_a_checked_local_file(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    model = timm.create_model(["test_resnet", "r160_in1k"][0], pretrained=False)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    spec = f"timm:test_resnet={tmp_path / 'w.safetensors'}"
    extractor = open_extractor(spec)
    images = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
    assert extractor.embed(images).shape == (2, model.num_features)
    assert extractor.name.startswith("test_resnet@")
    with pytest.raises(UserError, match="sha256"):
        open_extractor(spec + "#" + "0" * 64)
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="another model"):
        open_extractor(f"timm:test_resnet={tmp_path / 'other.safetensors'}")
    wide = {name: torch.zeros(*value.shape, 2) for name, value in model.state_dict().items()}
    save_file(wide, tmp_path / "wide.safetensors")
    with pytest.raises(UserError, match=r"does not fit test_resnet .*: another model"):
        open_extractor(f"timm:test_resnet={tmp_path / 'wide.safetensors'}")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:-1])
    with pytest.raises(UserError, match="not a valid safetensors file"):
        open_extractor(f"timm:test_resnet={tmp_path / 'cut.safetensors'}")


@pytest.mark.parametrize("kind", ["timm", "torchscript"])
def test_what_takes_a_files_name_meanwhile_is_not_loaded(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file comes to the place at once after it was read: the features are those of the digest."""
    import timm
    from safetensors.torch import save

    if kind == "timm":
        model = timm.create_model(["test_resnet", "r160_in1k"][0], pretrained=False)
        file, other = tmp_path / "w.safetensors", {name: value * 0 for name, value in model.state_dict().items()}
        file.write_bytes(save(model.state_dict()))
        spec, content = f"timm:test_resnet={file}", save(other)
    else:
        file, digest = scripted(tmp_path)
        spec, content = f"torchscript:{file}#{digest}@32", b"code of somebody else"
    images = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
    expected, real = open_extractor(spec), read_regular

    def then_swapped(path: Path, most: int) -> bytes:
        whole = real(path, most)
        path.write_bytes(content)
        return whole

    monkeypatch.setattr("evalsuite.images.features.extractors.read_regular", then_swapped)
    found = open_extractor(spec)
    assert found.digest == expected.digest
    assert np.array_equal(found.embed(images), expected.embed(images))


class Layers(torch.nn.Module):
    """Stands for the layers of Inception: 2048 numbers that tell the pixels' values and places apart."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, ::9, ::9].flatten(1)[:, :2048]


class Scripted(torch.nn.Module):
    """What NVIDIA's file offers: a network that resizes by itself, and its layers without that."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers()

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return self.layers(x.flip(3))


def test_the_inception_file_is_called_as_clean_fid_calls_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By clean-fid's own code from the files on: its resize (299 px, never rounded), its normalisation, its FID."""
    pytest.importorskip("cleanfid")
    from cleanfid.fid import compute_fid
    from cleanfid.inception_torchscript import InceptionV3W

    file = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(Scripted()).save(str(file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(extractors, "FID_SHA256", digest)
    ours = torchscript(file, digest)
    rng = np.random.default_rng(0)
    sides = [rng.integers(0, high, (30, 40, 40, 3)).astype(np.uint8) for high in (256, 200)]
    for name, side in zip("ab", sides, strict=True):
        (tmp_path / name).mkdir()
        for i, image in enumerate(side):
            Image.fromarray(image).save(tmp_path / name / f"{i:02d}.png")
    theirs = InceptionV3W(str(tmp_path), download=False)
    seen: list[np.ndarray] = []

    def model(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            seen.append(theirs(x).numpy())
        return torch.from_numpy(seen[-1][:, ::64].copy())

    found = compute_fid(
        str(tmp_path / "a"),
        str(tmp_path / "b"),
        mode="clean",
        custom_feat_extractor=model,
        num_workers=0,
        device=torch.device("cpu"),
        use_dataparallel=False,
        verbose=False,
    )
    features = [ours.embed(side) for side in sides]
    np.testing.assert_allclose(np.concatenate(features), np.concatenate(seen), rtol=1e-6, atol=1e-6)
    few = [moments(side[:, ::64].astype(np.float64)) for side in features]
    assert frechet_distance(*few) == pytest.approx(found, rel=1e-4)  # theirs is a float32 mean and a Schur square root
    assert (ours.metric("FD"), ours.metric("KD")) == ("FID", "KID")


@pytest.mark.parametrize("given", [["colour-structure"] * 2, ["colour-structure", colour_structure()]])
def test_a_feature_space_does_not_agree_with_itself(given: list[str | Extractor]) -> None:
    with pytest.raises(UserError, match="colour-structure was given twice; give each once"):
        open_extractors(given)
