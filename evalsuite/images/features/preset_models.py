"""Opens the encoders of `presets`: from a path, or from the hub's cache. Nothing is downloaded, no pickle is opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache
from numpy.typing import NDArray
from torch import nn

from dermforge.common.errors import UserError
from dermforge.common.pickles import PICKLED, conversion, is_a_pickle
from evalsuite.images.features.extractors import Extractor, Images, fit, normalised, read_weights
from evalsuite.images.features.inception import inception
from evalsuite.images.features.presets import Preset
from evalsuite.images.features.tabulated import tabulated
from evalsuite.images.features.transformers_models import transformers_folder

#: The program that makes a .safetensors of a pickle; some of its tensors share memory.
CONVERT = conversion(tensor="v.contiguous().clone()")
#: The same of a checkpoint of a training, which holds the tensors under a key beside the options that it was run with.
CONVERT_WITHIN = conversion(
    "d[sys.argv[3]]",
    "v.contiguous().clone()",
    "import argparse; torch.serialization.add_safe_globals([argparse.Namespace]); ",
)


def open_preset(preset: Preset, path: str = "", device: str = "cpu") -> Extractor:
    """The encoder of a preset.

    Parameters
    ----------
    path
        Its folder or file; empty: the hub's cache.

    Raises
    ------
    UserError
        It is not at hand, with the command that gets it; or it is a pickle, with the command that converts it.
    """
    place = Path(path) if path else _cached(preset)
    if place is None or not place.exists():
        raise UserError(how_to_get(preset, path))
    if preset.kind == "transformers":
        return transformers_folder(place, device, preset)
    if preset.kind == "table":
        return tabulated(place, preset.name, preset.width)
    file = _weights_file(preset, place)
    return inception(preset, file, device) if preset.kind == "inception" else _timm_model(preset, file, device)


def _cached(preset: Preset) -> Path | None:
    """The folder in which the hub's cache keeps a model, with the names that the hub gives; None where it is not."""
    if preset.kind != "transformers":
        return None
    found = [try_to_load_from_cache(preset.source, name) for name in preset.files if "*" not in name]
    whole = all(isinstance(one, str) for one in found)
    return Path(str(found[0])).parent if whole else None


def how_to_get(preset: Preset, path: str = "") -> str:
    """What to type for an encoder that is not at hand."""
    where = f"{path} does not exist" if path else f"{preset.name} is not at hand"
    what = f"{where}. It is {preset.what}; licence: {preset.licence}. "
    if preset.kind == "table":
        return (
            f"{what}It does not run here: compute its features with Google's own code, and give them by image id as "
            f"--extractor {preset.name}=TABLE with the columns id, f0 to f{preset.width - 1}"
        )
    if preset.kind == "transformers":
        names = " ".join(f'"{name}"' if "*" in name else name for name in preset.files)
        return (
            f"{what}To get it, run `hf download {preset.source} {names} --local-dir {preset.name}` where the hub can "
            f"be reached, then --extractor {preset.name}={preset.name}"
        )
    (name,) = preset.files
    if preset.source.startswith("https:"):
        get = f"get {name} from {preset.source}"
    else:
        get = f"run `hf download {preset.source} {name} --local-dir .`"
    return f"{what}To get it, {get} where there is a network. {convert(preset, Path(name))}"


def convert(preset: Preset, file: Path) -> str:
    """Why a pickle is not opened, and how a person makes a safetensors file of it."""
    made = f"{preset.name}.safetensors"
    words = (CONVERT_WITHIN, file, made, preset.within) if preset.within else (CONVERT, file, made)
    return f"{is_a_pickle(file, *words)}, then --extractor {preset.name}={made}"


def _weights_file(preset: Preset, place: Path) -> Path:
    """The safetensors file of a path: it, or the only one of a folder."""
    if place.is_dir():
        files = sorted(place.glob("*.safetensors"))
        if len(files) != 1:
            found = ", ".join(file.name for file in files) or "none"
            raise UserError(f"{place}: safetensors files: {found}; give the file as --extractor {preset.name}=FILE")
        return files[0]
    if place.suffix.lower() in (*PICKLED, ".tar"):  # .pth.tar
        raise UserError(convert(preset, place))
    return place


def _timm_model(preset: Preset, file: Path, device: str) -> Extractor:
    """Pooled features of a timm architecture, and the linear layer after it where there is one."""
    import timm

    digest, found = read_weights(file, None)
    own = {name: value for name, value in found.items() if name.startswith(preset.prefix)} or found
    weights = {name.removeprefix(preset.prefix): value for name, value in own.items()}
    model = timm.create_model(preset.architecture, pretrained=False, num_classes=0, **preset.settings)
    fit(model, weights, file, preset.name)
    network = nn.Sequential(model, *_projection(preset, found, file)).eval().to(device)

    @torch.inference_mode()
    def embed(images: Images) -> NDArray[np.float32]:
        return np.asarray(network(normalised(images, preset.size, preset.statistics, device)).float().cpu().numpy())

    identity = f"{preset.architecture}/{preset.size}/{preset.statistics}/{digest}"
    return Extractor(f"{preset.name}@{digest[:8]}", f"preset/{identity}", embed)


def _projection(preset: Preset, weights: dict[str, torch.Tensor], file: Path) -> list[nn.Module]:
    if not preset.projection:
        return []
    if preset.projection not in weights:
        raise UserError(f"{file}: no {preset.projection}, with which {preset.name} ends: another model's file?")
    weight = weights[preset.projection]
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.load_state_dict({"weight": weight})
    return [layer]
