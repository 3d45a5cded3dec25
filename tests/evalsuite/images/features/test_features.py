"""Extractors name themselves truthfully and refuse unchecked code; features stream and are kept by digest."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageFilter

from dermforge.common.errors import UserError
from dermforge.common.skin_tone import TONE_GROUPS
from evalsuite.images.features import extractors
from evalsuite.images.features.extractors import colour_structure, open_extractor, random_conv, torchscript
from evalsuite.images.features.features import ArrayImages, Preprocess, extract
from evalsuite.images.quality.fid import frechet_distance, moments
from evalsuite.images.quality.kid import kid_over_subsets
from evalsuite.images.quality.prdc import prdc
from gen.phantoms import CLASSES, draw
from shards.format.schema import Sample

PINNED = [-2.30284, 3.08895, 1.63214]


def phantoms(n: int, start: int = 0, size: int = 64) -> ArrayImages:
    samples, arrays = [], []
    for i in range(start, start + n):
        cls, group = CLASSES[i % 6], TONE_GROUPS[i // 6 % 6]
        samples.append(Sample(id=f"p{i}", origin="phantom", label=cls, group=group))
        arrays.append(draw(cls, group, i, size).image)
    return ArrayImages(samples, arrays)


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
    data = phantoms(216)
    images = np.stack(data.arrays)
    a, b = extractor.embed(images[:108]), extractor.embed(images[108:])
    again = extractor.embed(images[:108])
    assert np.array_equal(a, again)
    assert np.isfinite(a).all()

    def distance(other: np.ndarray) -> float:
        return frechet_distance(moments([b]), moments([extractor.embed(other)]))

    blurred = [np.asarray(Image.fromarray(i).filter(ImageFilter.GaussianBlur(2))) for i in images[:108]]
    same = frechet_distance(moments([a]), moments([b]))
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


def test_features_are_computed_once_and_kept_by_digest(tmp_path: Path) -> None:
    data, calls = phantoms(10), []

    def embed(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return images.reshape(len(images), -1)[:, :5].astype(np.float32)

    extractor = extractors.Extractor("five-pixels", "v1", embed)
    first = extract(data, extractor, Preprocess(32, None), tmp_path, batch=4)
    assert calls == [4, 4, 2]  # streamed: one batch in memory at a time
    second = extract(data, extractor, Preprocess(32, None), tmp_path, batch=4)
    assert calls == [4, 4, 2]
    np.testing.assert_array_equal(first.values, second.values)
    extract(data, extractor, Preprocess(32, 90), tmp_path)  # another codec is another cache
    extract(data, extractors.Extractor("five-pixels", "v2", embed), Preprocess(32, None), tmp_path)
    assert len(list(tmp_path.glob("features-*.npy"))) == 3


def test_an_interrupted_extraction_leaves_no_file(tmp_path: Path) -> None:
    def embed(images: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(phantoms(2), extractors.Extractor("x", "x", embed), Preprocess(32), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_codec_and_resize_are_the_same_for_both_sides() -> None:
    """A PNG set and a JPEG set of the same pictures come out nearly equal, at any input size."""
    image = draw("plaque", "tan", 3, 128).image
    step = Preprocess(64, 90)
    assert step(image).shape == (64, 64, 3)
    twice = step(Preprocess(128, 90)(image))
    assert np.abs(step(image).astype(int) - twice).mean() < 2
    assert Preprocess(64, None)(image[:, :100]).shape == (64, 64, 3)


def test_the_inception_file_is_called_as_clean_fid_calls_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recognised by its digest; floats of 0 to 255 at 299 px, never rounded after the resize; then FID is FID."""

    class Corner(torch.nn.Module):
        def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            assert return_features
            return torch.stack([x.amin((1, 2, 3)), x.amax((1, 2, 3)), x[:, 0, 0, 0], x[:, 0, 150, 150]], 1)

    file = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(Corner()).save(str(file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(extractors, "FID_SHA256", digest)
    extractor = torchscript(file, digest)
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    low, high, corner, middle = extractor.embed(image)[0]
    assert 0 <= low < high <= 255
    red = Image.fromarray(image[0, ..., 0].astype(np.float32))
    plane = np.asarray(red.resize((299, 299), Image.Resampling.BICUBIC))
    assert (corner, middle) == pytest.approx(plane.clip(0, 255)[[0, 150], [0, 150]])
    assert middle != round(float(middle))
    assert (extractor.metric("FD"), extractor.metric("KD")) == ("FID", "KID")


class Many:
    """More images than memory should hold: each is made when it is asked for."""

    def __init__(self, n: int) -> None:
        self.rows = pd.DataFrame({"id": [f"m{i}" for i in range(n)], "image_sha256": ""})

    def images(self) -> Iterator[tuple[Sample, np.ndarray]]:
        for name in self.rows["id"]:
            yield Sample(id=name, origin="real", label="a"), np.zeros((256, 256, 3), np.uint8)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """Peak of what Python and numpy allocate: 640 images of 196 kB are 126 MB, a batch is 3 MB."""
    small = extractors.Extractor("mean", "mean", lambda x: x.reshape(len(x), -1)[:, :4].astype(np.float32))
    peaks = []
    for n in (64, 640):
        tracemalloc.start()
        extract(Many(n), small, Preprocess(64, None), tmp_path, batch=16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2_000_000, peaks


def test_both_sides_agree_with_torch_fidelity_from_the_images_on(tmp_path: Path) -> None:
    """The whole road: the same images through the same network by torch-fidelity's own code and by ours."""
    from torch_fidelity import calculate_metrics, register_feature_extractor
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    ours = random_conv(dim=16)

    class Same(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **_: object) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str]:
            return ("16",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "16"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        @staticmethod
        def get_dummy_input_for_compile() -> torch.Tensor:
            return torch.zeros(1, 3, 64, 64, dtype=torch.uint8)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (torch.from_numpy(ours.embed(x.permute(0, 2, 3, 1).numpy())),)

    register_feature_extractor("same", Same)
    a, b = phantoms(90), phantoms(90, 500)
    real, made = (extract(d, ours, Preprocess(64, None), tmp_path) for d in (a, b))
    sides = [torch.utils.data.TensorDataset(torch.from_numpy(np.stack(d.arrays)).permute(0, 3, 1, 2)) for d in (b, a)]
    theirs = calculate_metrics(
        input1=_Only(sides[0]),
        input2=_Only(sides[1]),
        fid=True,
        kid=True,
        prc=True,
        feature_extractor="same",
        kid_subset_size=50,
        kid_subsets=10,
        prc_neighborhood=3,
        batch_size=32,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    x, y = real.take(np.arange(90)), made.take(np.arange(90))
    found = prdc(x, y, k=3)
    assert frechet_distance(moments([x]), moments([y])) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert kid_over_subsets(y, x, 50, 10, 2020) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert found.precision.value == pytest.approx(theirs["precision"], abs=1e-6)
    assert found.recall.value == pytest.approx(theirs["recall"], abs=1e-6)


class _Only(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The images of a TensorDataset without its tuples, as torch-fidelity takes them."""

    def __init__(self, data: torch.utils.data.TensorDataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.data[i][0]


def test_damaged_features_and_extractors_without_numbers_are_told(tmp_path: Path) -> None:
    """One line, not numpy's or LAPACK's traceback."""
    data, step = phantoms(4), Preprocess(32, None)
    plain = extractors.Extractor("plain", "v1", lambda x: x.reshape(len(x), -1)[:, :3].astype(np.float32))
    extract(data, plain, step, tmp_path)
    file = next(tmp_path.glob("features-*.npy"))
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(UserError, match="damaged"):
        extract(data, plain, step, tmp_path)
    empty = extractors.Extractor("nan", "v2", lambda x: np.full((len(x), 3), np.nan, np.float32))
    with pytest.raises(UserError, match="nan gives no finite features for p0"):
        extract(data, empty, step, tmp_path)
