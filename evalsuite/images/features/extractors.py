"""Networks and formulas that turn images into features. Weights come from files the user names; nothing is downloaded.

An extractor's name is part of the metric's name: a Frechet distance is called FID only with the Inception FID
network, and "FD[name]" with any other.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load
from torch.nn import functional

from dermforge.common.classifier import WEIGHTS
from dermforge.common.digests import digest_bytes, digest_file
from dermforge.common.errors import UserError
from dermforge.common.regular_file import WEIGHTS_SIZE, read_regular
from dermforge.common.skin_tone import srgb_to_lab
from evalsuite.images.features.names import SPECS
from evalsuite.images.features.presets import IMAGENET, Statistics, preset_named

Images = NDArray[np.uint8]  # [n, h, w, 3]
Embed = Callable[[Images], NDArray[np.float32]]  # -> [n, d]
OfStrings = Callable[[Sequence[str]], NDArray[np.float32]]  # -> [n, d], in the space of the images

#: The TorchScript file of NVIDIA and clean-fid, inception-2015-12-05.pt (digest as k-diffusion pins it).
FID_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
#: Metrics with a published name, and the only extractor for which that name is right.
PUBLISHED = {"FD": ("FID", "inception-fid"), "KD": ("KID", "inception-fid"), "MMD": ("CMMD", "clip-vit-l14-336")}


@dataclass(frozen=True)
class Extractor:
    """embed maps uint8 images [n, h, w, 3] to float32 features [n, d]; digest identifies weights and code.

    Attributes
    ----------
    texts
        The same for prompts, where images and texts share a space (CLIP).
    by_id
        The features of images by their ids, where a table holds them and no network is at hand.
    """

    name: str
    digest: str
    embed: Embed
    texts: OfStrings | None = None
    by_id: OfStrings | None = None

    def metric(self, kind: str) -> str:
        """The published name if this is the extractor it belongs to, else the kind with this extractor's name."""
        published, owner = PUBLISHED.get(kind, ("", None))
        return published if self.name == owner else f"{kind}[{self.name}]"


def open_extractor(spec: str, device: str = "cpu") -> Extractor:
    """The extractor that one of `SPECS` names; UserError where its file is missing, or of another kind or digest."""
    kind, _, rest = spec.partition(":")
    path, _, tail = rest.partition("#")
    if preset := preset_named(spec.partition("=")[0]):
        from evalsuite.images.features.preset_models import open_preset

        return open_preset(preset, spec.partition("=")[2], device)
    if spec == "random-conv-seed0":
        return random_conv(device=device)
    if spec == "colour-structure":
        return colour_structure()
    if kind == "timm" and "=" in rest:
        name, _, file = path.partition("=")
        return timm_model(name, Path(file), tail or None, device)
    if kind == "torchscript" and rest:
        digest, _, size = tail.partition("@")
        return torchscript(Path(path), digest, device, int(size or 224))
    if kind == "transformers" and rest:
        from evalsuite.images.features.transformers_models import transformers_folder

        return transformers_folder(Path(rest), device)
    if kind == "features" and rest:
        from evalsuite.images.features.tabulated import tabulated

        return tabulated(Path(rest))
    if kind == "checkpoint" and rest:
        return checkpoint(Path(rest), device)
    raise UserError(f"unknown extractor {spec!r}; expected {SPECS}")


def open_extractors(given: Sequence[str | Extractor], device: str = "cpu") -> list[Extractor]:
    """Extractors, opened or by name; the same one twice is refused, as it would agree with itself."""
    opened = [open_extractor(one, device) if isinstance(one, str) else one for one in given]
    names = [one.name for one in opened]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"the extractor {twice[0]} was given twice; give each once")
    return opened


def random_conv(seed: int = 0, dim: int = 64, device: str = "cpu") -> Extractor:
    """Three layers of fixed random filters on 64 px; channel means and spreads, projected to 64 numbers.

    Needs no weights: the filters follow from the seed. Random filters rank distortions of texture and colour,
    but less like a person than a trained network does (Kynkaanniemi 2023 discusses what FD measures).
    """
    rng, widths = np.random.default_rng(seed), (3, 16, 32, 48)
    drawn = [rng.normal(0, np.sqrt(2 / (i * 9)), (o, i, 3, 3)) for i, o in pairwise(widths)]
    detail = drawn[0][::2]  # every other filter sees detail only
    drawn[0][::2] = 8 * (detail - detail.mean((2, 3), keepdims=True))
    kernels = [torch.from_numpy(k.astype(np.float32)).to(device) for k in drawn]
    axes = np.linalg.qr(rng.normal(size=(2 * sum(widths[1:]), dim)))[0]
    projection = torch.from_numpy(axes.astype(np.float32)).to(device)

    @torch.inference_mode()
    def embed(images: Images) -> NDArray[np.float32]:
        x = normalised(images, 64, ((0.5,) * 3, (0.25,) * 3), device)
        pooled = []
        for kernel in kernels:
            x = functional.relu(functional.conv2d(x, kernel, stride=2, padding=1))
            pooled += [x.mean((2, 3)), x.std((2, 3))]
        return (torch.cat(pooled, 1) @ projection).cpu().numpy()

    return Extractor(f"random-conv-seed{seed}", f"random-conv/1/{seed}/{dim}", embed)


def colour_structure() -> Extractor:
    """30 plain statistics: CIELAB levels and spreads, centre against border, detail at three scales."""

    def embed(images: Images) -> NDArray[np.float32]:
        return np.stack([_colour_structure(resized(i, 64)) for i in images]).astype(np.float32)

    return Extractor("colour-structure", "colour-structure/1", embed)


def _colour_structure(image: NDArray[np.uint8]) -> NDArray[np.floating]:
    lab = srgb_to_lab(image.astype(np.float32) / 255) / 25  # about unit spread between photographs
    flat, parts = lab.reshape(-1, 3), []
    parts += [flat.mean(0), flat.std(0), np.quantile(flat, 0.05, axis=0), np.quantile(flat, 0.95, axis=0)]
    centre = lab[16:48, 16:48].reshape(-1, 3).mean(0)
    parts.append(centre - (flat.sum(0) - centre * 1024) / (len(flat) - 1024))
    for _ in range(3):
        dy, dx = np.abs(np.diff(lab, axis=0)).mean((0, 1)), np.abs(np.diff(lab, axis=1)).mean((0, 1))
        parts.append(5 * (dy + dx) / 2)
        parts.append(5 * (dy - dx)[:2])
        lab = lab.reshape(lab.shape[0] // 2, 2, lab.shape[1] // 2, 2, 3).mean((1, 3))
    return np.concatenate(parts)


def timm_model(name: str, file: Path, sha256: str | None, device: str = "cpu") -> Extractor:
    """Pooled features of a timm architecture with weights from a local safetensors file."""
    import timm

    digest, weights = read_weights(file, sha256)
    if name not in timm.list_models():
        raise UserError(f"timm knows no model {name!r}; see timm.list_models()")
    model = timm.create_model(name, pretrained=False, num_classes=0)
    fit(model, timm.models.clean_state_dict(weights), file, name)
    config = timm.data.resolve_model_data_config(model)
    model.eval().to(device)

    @torch.inference_mode()
    def embed(images: Images) -> NDArray[np.float32]:
        x = normalised(images, config["input_size"][-1], (config["mean"], config["std"]), device)
        return np.asarray(model(x).float().cpu().numpy())

    return Extractor(f"{name}@{digest[:8]}", f"timm/{name}/{digest}", embed)


def torchscript(file: Path, sha256: str, device: str = "cpu", size: int = 224) -> Extractor:
    """A TorchScript network. It is code, so its digest is required and is checked before anything is loaded.

    The Inception FID file is recognised by its digest and called as clean-fid does (antialiased bicubic
    resize to 299 px, then its layers alone); any other gets ImageNet-normalised floats at `size`.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such TorchScript file; give a local path (nothing is downloaded)")
    if len(sha256) != 64:
        raise UserError(f"{file}: TorchScript is code; give its digest as torchscript:{file}#SHA256")
    code = read_regular(file, WEIGHTS_SIZE)  # read once: what is checked is what is loaded
    digest = digest_bytes(code)
    if digest != sha256.lower():
        raise UserError(f"{file}: sha256 is {digest}, expected {sha256}; it was not loaded")
    network = torch.jit.load(io.BytesIO(code), map_location=device).eval()
    is_fid = digest == FID_SHA256

    @torch.inference_mode()
    def embed(images: Images) -> NDArray[np.float32]:
        if is_fid:
            pixels = np.stack([resized_floats(i, 299) for i in images]).transpose(0, 3, 1, 2)
            out = network.layers((torch.from_numpy(pixels).to(device) - 128) / 128)
        else:
            out = network(normalised(images, size, IMAGENET, device))
        out = out[0] if isinstance(out, tuple) else out
        return np.asarray(out.flatten(1).float().cpu().numpy())

    if is_fid:
        return Extractor("inception-fid", f"clean-fid/{digest}", embed)
    return Extractor(f"{file.stem}@{digest[:8]}", f"ts/{digest}/{size}", embed)


def fit(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], file: Path, name: str) -> None:
    """Load weights into a network; UserError where one is missing or of another shape. Others are left out."""
    try:
        loaded = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # other shapes
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file} does not fit {name} ({reason}): another model's file?") from error
    if loaded.missing_keys:
        raise UserError(f"{file}: no weights for {loaded.missing_keys[0]} of {name}: another model's file?")


def checkpoint(folder: Path, device: str = "cpu") -> Extractor:
    """The penultimate features of a classifier that `evalsuite train` wrote."""
    from evalsuite.training import checkpoint as checkpoints
    from evalsuite.training import model as models

    model, record = checkpoints.load(folder)
    model.to(device)
    mean, std = (tuple(t.flatten().tolist()) for t in models.normaliser(model))
    digest = record.weights_sha256 or digest_file(folder / WEIGHTS)  # earlier records have none

    @torch.inference_mode()
    def embed(images: Images) -> NDArray[np.float32]:
        return models.features(model, normalised(images, record.recipe.size, (mean, std), device)).cpu().numpy()

    return Extractor(f"{record.recipe.model}@{digest[:8]}", f"checkpoint/{digest}/{record.recipe.size}", embed)


def resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A square image of `size` px, antialiased bicubic (PIL), as clean-fid asks for."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def resized_floats(image: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """The same as floats from 0 to 255, not rounded: clean-fid's resize, channel by channel."""
    planes = [
        Image.fromarray(image[..., c].astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
        for c in range(3)
    ]
    return np.stack([np.asarray(plane).clip(0, 255) for plane in planes], -1)


def normalised(images: Images, size: int, statistics: Statistics, device: str) -> torch.Tensor:
    """Normalised float [n, 3, size, size]."""
    pixels = torch.from_numpy(np.stack([resized(i, size) for i in images])).to(device).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(s, device=device).view(1, 3, 1, 1) for s in statistics)
    return (pixels.float() / 255 - mean) / std


def read_weights(file: Path, sha256: str | None) -> tuple[str, dict[str, torch.Tensor]]:
    """The digest of a safetensors file and its tensors, from one reading; its type and expected digest are checked."""
    if not file.is_file():
        raise UserError(f"{file}: no such weights file; give a local path (nothing is downloaded)")
    if file.suffix != ".safetensors":
        raise UserError(f"{file}: weights of type {file.suffix!r}; expected .safetensors")
    content = read_regular(file, WEIGHTS_SIZE)
    digest = digest_bytes(content)
    if sha256 and digest != sha256.lower():
        raise UserError(f"{file}: sha256 is {digest}, expected {sha256}; it was not loaded")
    try:
        return digest, load(content)
    except SafetensorError as error:
        raise UserError(f"{file}: not a valid safetensors file ({error}); copy it again") from error
