"""The formats in which trainers write adapters of low rank, brought to names and settings that diffusers reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engines.adapters.files import AdapterFile, tensor_digest
from engines.checkpoint.folder import read_json
from engines.checkpoint.settings import words
from engines.errors import EngineError

KOHYA = re.compile(r"^lora_(unet|te\d?)_")
ALPHA, DOWN, UP = ".alpha", ".lora_down.weight", ".lora_up.weight"
#: The two matrices of a module in the names of each format.
_FIRST_SECOND = (
    ("lora_down.", "lora_up."),
    ("lora_A.", "lora_B."),
    ("lora.down.", "lora.up."),
    ("embedding_A", "embedding_B"),
)
PAIRS = (*_FIRST_SECOND, *((second, first) for first, second in _FIRST_SECOND))
#: What peft's own files have in front of each name, and the settings of theirs that matter here.
PEFT, PEFT_CONFIG = "base_model.model.", "adapter_config.json"
SETTINGS = ("r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_bias")
#: Settings of peft's that say nothing of the weights that were learnt, or that the weights themselves show.
WITHOUT_INFLUENCE = words(
    "peft_type task_type auto_mapping base_model_name_or_path revision inference_mode peft_version lora_dropout "
    "exclude_modules layers_to_transform layers_pattern init_lora_weights ephemeral_gpu_offload runtime_config "
    "eva_config loftq_config megatron_core megatron_config lora_ga_config ensure_weight_tying"
)
#: Starts of training that change the model's own weights, so that the adapter is nothing without them.
CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
#: Other kinds of adapters, by what is in the names of their weights.
OTHERS = {
    r"\.hada_": "LoHa (LyCORIS)",
    r"\.lokr_": "LoKr (LyCORIS)",
    r"(\.oft_|\.boft_|oft_blocks|oft_diag)": "OFT",
    r"(\.on_input$|\.ia3_)": "IA3",
    r"\.(a1|a2|b1|b2)\.weight$": "GLoRA",
    r"\.lora_mid\.": "LoCon with Tucker's decomposition (LyCORIS)",
    r"\.dora_scale$": "DoRA in the format of LyCORIS and kohya (peft's own DoRA is read)",
    r"(\.diff|\.diff_b|\.w_norm|\.b_norm)$": "whole differences of weights (LyCORIS)",
    r"lora_controlnet": "a control LoRA",
}


@dataclass(frozen=True)
class Loadable:
    """An adapter's tensors under names that diffusers reads, the same tensors under the file's, and its settings.

    Attributes
    ----------
    scales
        Of each module, alpha over rank, by the digest of its first matrix; none where the settings say them.
    """

    tensors: dict[str, torch.Tensor]
    settings: dict[str, Any]
    parts: list[str]
    scales: dict[str, float]
    dora: bool


def check_lora(file: AdapterFile) -> None:
    """Refuse other kinds of adapters.

    Raises
    ------
    EngineError
        Names the kind.
    """
    for pattern, kind in OTHERS.items():
        if found := [name for name in file.tensors if re.search(pattern, name)]:
            raise EngineError(f"{file.path} is no LoRA that is read here: {found[0]} is of {kind}; fuse it elsewhere")
    if not any("lora" in name for name in file.tensors):
        first = ", ".join(sorted(file.tensors)[:3])
        raise EngineError(f"{file.path} is no adapter: it holds {first}; expected names with lora in them")
    for name, value in file.tensors.items():
        if (name.endswith(ALPHA) and value.numel() != 1) or (name.endswith((DOWN, UP)) and value.ndim < 2):
            raise EngineError(f"{file.path}: {name} has the shape {list(value.shape)}, which an adapter's has not")
    if is_kohya(file) and (odd := [name for name in file.tensors if not KOHYA.match(name)]):
        raise EngineError(f"{file.path} mixes two formats of names: {odd[0]} is unlike lora_unet_ and lora_te_")


def _check_pairs(file: AdapterFile) -> None:
    """Refuse a file that lacks one of a module's two matrices, in whichever names."""
    for name in file.tensors:
        for one, other in PAIRS:
            if one in name and (lost := name.replace(one, other)) not in file.tensors:
                raise EngineError(f"{file.path} has {name} and no {lost}: it is damaged; copy or download it again")


def is_kohya(file: AdapterFile) -> bool:
    """Whether an adapter has the names of kohya's trainer."""
    return any(KOHYA.match(name) for name in file.tensors)


def read_lora(file: AdapterFile, denoiser: str, parts: list[str]) -> Loadable:
    """Bring an adapter's names into those that diffusers reads.

    Parameters
    ----------
    denoiser
        The pipeline's part that denoises.
    parts
        All parts that can have adapters.

    Raises
    ------
    EngineError
        It is another kind of adapter, or of a part that is not there.
    """
    check_lora(file)
    found = (_kohya if is_kohya(file) else _peft)(file, denoiser, parts)
    _check_pairs(file)
    return found


def _kohya(file: AdapterFile, denoiser: str, parts: list[str]) -> Loadable:
    """Names such as `lora_unet_down_blocks_0_..._to_q.lora_down.weight`, each module with its alpha."""
    tensors, scales = dict(file.tensors), {}
    of = {
        "unet": denoiser,
        "te": "text_encoder",
        "te1": "text_encoder",
        "te2": "text_encoder_2",
        "te3": "text_encoder_3",
    }
    for name, down in file.tensors.items():
        if name.endswith(DOWN):
            alpha = tensors.setdefault(name.removesuffix(DOWN) + ALPHA, torch.tensor(float(len(down))))
            scales[tensor_digest(down)] = float(alpha) / len(down)
    if alone := [n for n in file.tensors if n.endswith(ALPHA) and n.removesuffix(ALPHA) + DOWN not in tensors]:
        raise EngineError(f"{file.path} has {alone[0]} and no weights to it ({alone[0].removesuffix(ALPHA)}{DOWN})")
    found = {of.get(m[1], m[1]) for name in tensors if (m := KOHYA.match(name))}
    return Loadable(tensors, {}, _there(file, found, parts), scales, dora=False)


def _peft(file: AdapterFile, denoiser: str, parts: list[str]) -> Loadable:
    """Names such as `unet.down_blocks.0....lora_A.weight`; peft's own files name no part."""
    tensors, bare = {}, False
    for name, value in file.tensors.items():
        own = name.removeprefix(PEFT)
        first = own.partition(".")[0]
        if first in ("unet", "transformer") or first.startswith("text_encoder"):
            tensors[own] = value
        else:
            bare = True
            tensors[f"{'text_encoder' if first == 'text_model' else denoiser}.{own}"] = value
    found = _there(file, {name.partition(".")[0] for name in tensors}, parts)
    settings = _written_by_diffusers(file)
    if bare and any(name.startswith(PEFT) for name in file.tensors):
        settings = {f"{part}.{name}": value for part in found for name, value in _written_by_peft(file).items()}
    dora = any("lora_magnitude_vector" in name for name in tensors)
    return Loadable(tensors, settings, found, {} if settings else scales_of(tensors), dora)


def scales_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Alpha over rank of each module in peft's names, by the digest of its first matrix."""
    scales = {}
    for name, down in tensors.items():
        if re.search(r"lora_A|\.down\.", name):
            alpha = tensors.get(re.split(r"[._]lora", name)[0] + ALPHA)  # which the files of some families have
            scales[tensor_digest(down)] = 1.0 if alpha is None else float(alpha) / len(down)
    return scales


def _there(file: AdapterFile, found: set[str], parts: list[str]) -> list[str]:
    if missing := sorted(found - set(parts)):
        raise EngineError(
            f"{file.path} is an adapter of another architecture: it changes a {missing[0]}; this pipeline has "
            f"{', '.join(parts)}"
        )
    return sorted(found)


def _written_by_diffusers(file: AdapterFile) -> dict[str, Any]:
    """The settings that diffusers wrote into a file's header, by part and name; none where it wrote none."""
    text = file.metadata.get("lora_adapter_metadata")
    try:
        found = json.loads(text) if text else {}
        parted = [(*name.split(".", 1), value) for name, value in found.items()]
        by_part = {part: {n: v for p, n, v in parted if p == part} for part, _, _ in parted}
    except (ValueError, AttributeError) as error:
        raise EngineError(f"{file.path} has damaged settings (lora_adapter_metadata): copy it again") from error
    return {f"{part}.{n}": v for part, config in by_part.items() for n, v in _checked(config, file.path).items()}


def _written_by_peft(file: AdapterFile) -> dict[str, Any]:
    """The settings beside a file that peft wrote, without which its scale is not known."""
    path = file.path.parent / PEFT_CONFIG
    if not path.is_file():
        raise EngineError(f"{file.path} was written by peft, which keeps its scale in {PEFT_CONFIG}: put it there")
    return _checked(read_json(path), path)


def _checked(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The settings that are followed; others must be empty, or as peft has them by default."""
    from peft import LoraConfig

    if (kind := str(config.get("peft_type", "LORA"))) not in ("LORA", "PeftType.LORA"):
        raise EngineError(f"{path} is of a {kind}; expected LORA: fuse it in peft")
    start, default = str(config.get("init_lora_weights")).lower(), LoraConfig().to_dict()
    if start.startswith(CHANGES_BASE):
        raise EngineError(
            f"{path} began as {start}, which changes the model itself: convert it in peft to a plain LoRA"
        )
    for name, value in config.items():
        if name not in (*SETTINGS, *WITHOUT_INFLUENCE) and value and value != default.get(name):
            raise EngineError(f"{path} has the setting {name} = {value}, which is not followed here: fuse it in peft")
    plain = {"r": 8, "lora_alpha": 8, "target_modules": [], "rank_pattern": {}, "alpha_pattern": {}}
    return plain | {name: config[name] for name in SETTINGS if config.get(name) is not None}
