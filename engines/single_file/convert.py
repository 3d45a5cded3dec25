"""A single-file checkpoint written as the pipeline folder that it stands for; nothing of it is left out in silence."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dermforge.common.pickles import PICKLED, conversion, is_a_pickle
from engines.checkpoint.safetensors_file import Entry, entries, open_safetensors
from engines.checkpoint.scheduler import open_scheduler
from engines.checkpoint.skeleton import INDEX, empty_network
from engines.checkpoint.weights import write_weights
from engines.errors import EngineError
from engines.single_file.described import Described, describe
from engines.single_file.layouts import DENOISER, EMA, has_no_influence
from engines.single_file.tokenizers import write_tokenizers
from engines.single_file.weights import Found, find_part, read_part

log = logging.getLogger("dermforge")
#: Tensors by which tools mark what a UNet predicts, and that its schedule ends in pure noise.
V_MARK, ZERO_SNR_MARK = "v_pred", "ztsnr"
#: The numbers of channels of a UNet's input: noise, and noise with a mask and an image.
CHANNELS = (4, 9)
#: The program that makes a .safetensors of a pickle.
CONVERT = conversion("d.get('state_dict', d)")
#: How far the schedule that a file holds may be from that of its scheduler; it may be in half precision.
NEAR = 2e-3


@dataclass(frozen=True)
class Told:
    """What a person says of a checkpoint: see `engines.source.Source`."""

    average: bool = False
    prediction_type: str | None = None
    base: Path | None = None


def write_folder(path: Path, folder: Path, told: Told) -> Described:
    """Write a checkpoint as a pipeline folder.

    Parts that the file lacks are links to those of `told.base`.

    Raises
    ------
    EngineError
        The file is no checkpoint of a supported kind, is not whole, holds what is not known, or lacks parts.
    """
    if path.suffix.lower() != ".safetensors":
        raise EngineError(_no_safetensors(path))
    names = entries(path)
    described = describe(path, names, told.base)
    scheduler = _scheduler(path, names, described, told)
    folder.mkdir(parents=True)
    opened = open_scheduler(folder, described.index["scheduler"][1], scheduler, described.family.flow)
    if not described.family.flow:
        _check_schedule(path, names, opened)
    found, lent = _find_parts(path, names, described, folder, told)
    _check_left_over(path, names, found, told.average)
    _room(path, folder)
    for part, one in found.items():
        write_weights(folder, part, read_part(path, one))
    for part in lent:
        (folder / part).symlink_to((_base(described) / part).resolve(), target_is_directory=True)
    index = described.index | {name: [None, None] for name in _left_out(described, found, lent)}
    (folder / "scheduler").mkdir()
    _write(folder / "scheduler" / "scheduler_config.json", scheduler)
    _write(folder / INDEX, index)
    write_tokenizers(path, folder, described, [*found, *lent], told.base)
    return described


def _find_parts(
    path: Path, names: Mapping[str, Entry], described: Described, folder: Path, told: Told
) -> tuple[dict[str, Found], list[str]]:
    """Where the weights of each part are, and the parts that are taken from the given pipeline folder."""
    family = described.family
    _write(folder / INDEX, described.index)
    found: dict[str, Found] = {}
    lent, missing = [], []
    for part in [name for name in family.parts if name in described.parts]:
        (folder / part).mkdir()
        _write(folder / part / "config.json", _config(path, names, described, part))
        network = empty_network(folder, part)
        average = told.average and part == family.denoiser
        one = find_part(path, names, part, network, family.layouts[part], average, described.base)
        if one is not None:
            found[part] = one
            continue
        if part == family.denoiser:
            raise EngineError(f"{path} {_without_denoiser(described, told)}")
        shutil.rmtree(folder / part)
        if described.base is not None:
            lent.append(part)
        elif not family.parts[part].optional:
            missing.append(part)
    if missing:
        raise EngineError(
            f"{path} holds the {' and '.join(found)} of {described.title} alone, without {', '.join(missing)}: give a "
            "pipeline folder of the same family that has them by `parts_from`"
        )
    return found, lent


def _without_denoiser(described: Described, told: Told) -> str:
    """Why a file is no model, and what to do."""
    if told.average:
        return "holds no average over the training (model_ema): leave `variant` out"
    title = described.title
    if described.base is None:
        return f"holds no {described.family.denoiser} of {title}, without which it is no model"
    return (
        f"holds no {described.family.denoiser} of {title}, which the folder {described.base} is of: give one of the "
        "file's own family by `parts_from`"
    )


def _config(path: Path, names: Mapping[str, Entry], described: Described, part: str) -> dict[str, Any]:
    """A part's configuration; a carried UNet's has the input of the file and the size that its prediction goes with."""
    config = described.parts[part]
    first = names.get(f"{DENOISER}input_blocks.0.0.weight")
    if part != "unet" or described.base is not None or first is None:
        return config
    if (channels := first.shape[1] if len(first.shape) == 4 else 0) not in CHANNELS:
        raise EngineError(
            f"{path}: its UNet takes {channels} channels; expected {CHANNELS[0]} (text to image) or {CHANNELS[1]} "
            "(inpainting)"
        )
    predicted = str(described.scheduler.get("prediction_type"))
    own = described.sizes.get(predicted, config["sample_size"]) if channels == CHANNELS[0] else config["sample_size"]
    return config | {"in_channels": channels, "sample_size": own}


def _scheduler(path: Path, names: Mapping[str, Entry], described: Described, told: Told) -> dict[str, Any]:
    """The scheduler's settings, with what the file or the person says that its UNet predicts."""
    config = described.scheduler
    said = told.prediction_type
    if described.family.flow:
        if said is not None:
            raise EngineError(f"{described.title} was trained by flow matching and predicts nothing else: got {said!r}")
        return config
    marked = "v_prediction" if V_MARK in names else None
    if said is not None and marked is not None and said != marked:
        raise EngineError(
            f"{path} is marked as predicting v ({V_MARK}), and `prediction_type` is {said!r}: leave it out"
        )
    if said or marked:
        config["prediction_type"] = said or marked
    if "prediction_type" not in config:
        raise EngineError(
            f"{path} is of {described.title}, and nothing in a file says what its UNet predicts: give "
            "`prediction_type`, v_prediction (models of 768 pixels) or epsilon (those of 512, inpainting among them)"
        )
    if ZERO_SNR_MARK in names:
        config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return config


def _check_left_over(path: Path, names: Mapping[str, Entry], found: Mapping[str, Found], average: bool) -> None:
    """Refuse tensors that nothing asked for; the weights that stand beside those that were chosen are named."""
    used = {name for one in found.values() for name in (*one.names(), *one.unused)}
    left = [name for name in names if name not in used and not has_no_influence(name)]
    left = [name for name in left if name not in (V_MARK, ZERO_SNR_MARK)]
    beside = [name for name in left if name.startswith(DENOISER if average else EMA)]
    if others := [name for name in left if name not in beside]:
        raise EngineError(
            f"{path} holds {len(others)} tensors that no part asks for ({', '.join(others[:3])}"
            f"{' ...' if len(others) > 3 else ''}): it was extended, or is of another model than the parts "
            "that go with it; give those of its own model by `parts_from`, text encoders and their tokenizers among "
            "them, or use diffusers for it"
        )
    if beside:
        log.warning(
            "%s: %s weights are not read, %s",
            path,
            len(beside),
            "those before averaging (leave the variant out to read them)"
            if average
            else "an average over the training (variant ema reads it)",
        )


def _left_out(described: Described, found: Mapping[str, Found], lent: list[str]) -> list[str]:
    """The optional parts that are not there, with their tokenizers."""
    family = described.family
    gone = [part for part in family.parts if part not in (*found, *lent)]
    return [*gone, *(tokenizer for encoder, tokenizer in family.readers().items() if encoder in gone)]


def _check_schedule(path: Path, names: Mapping[str, Entry], scheduler: Any) -> None:
    """Refuse a file that holds another noise schedule than that of its scheduler."""
    if "alphas_cumprod" not in names:
        return
    with open_safetensors(path) as file:
        own = file.get_tensor("alphas_cumprod").float()
    expected = scheduler.alphas_cumprod
    if own.shape != expected.shape or not bool(torch.isclose(own, expected, rtol=0, atol=NEAR).all()):
        raise EngineError(
            f"{path} holds a noise schedule (alphas_cumprod) that is not that of {type(scheduler).__name__} with the "
            "settings of its family: give a pipeline folder with its scheduler by `parts_from`"
        )


def _base(described: Described) -> Path:
    assert described.base is not None
    return described.base


def _room(path: Path, folder: Path) -> None:
    """Refuse before the work what would not fit on the disk."""
    needed, free = path.stat().st_size, shutil.disk_usage(folder).free
    if needed > free:
        raise EngineError(
            f"the pipeline of {path} needs {needed / 1e9:.1f} GB in {folder.parent}, where {free / 1e9:.1f} GB are "
            "free: set TMPDIR to a folder on a larger disk"
        )


def _no_safetensors(path: Path) -> str:
    """Why a file is not opened, and what to do."""
    if path.suffix.lower() in PICKLED:
        return is_a_pickle(path, CONVERT, path, f"{path.stem}.safetensors")
    return f"{path} is a {path.suffix or 'file without a suffix'}; expected a pipeline folder or a .safetensors file"


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
