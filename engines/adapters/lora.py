"""Adapters of low rank: loaded by diffusers and peft, and fused into the weights of a pipeline's networks.

Diffusers warns of keys that it leaves out, and drops some without a word. Here every tensor of a file is looked for in
the network after it was loaded, with its scale; a file of which anything is left over is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dermforge.common.pickles import PICKLED
from engines.adapters.files import AdapterFile, tensor_digest
from engines.adapters.lora_formats import ALPHA, Loadable
from engines.checkpoint.folder import reason
from engines.errors import EngineError
from engines.models import families
from engines.silence import quiet

#: What files end in that hold an adapter, or might.
FILES = (".safetensors", *PICKLED)
#: The largest number of half precision, in which most checkpoints lie.
LARGEST = torch.finfo(torch.float16).max
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Lora:
    """A file and how strongly it counts."""

    path: Path
    scale: float = 1.0


def parse_lora(text: str) -> Lora:
    """`FILE` or `FILE:SCALE`.

    Raises
    ------
    EngineError
        The scale is no number, or zero. What ends as a file does is no scale.
    """
    head, colon, tail = text.rpartition(":")
    if not colon or Path(text).exists() or Path(tail).suffix.lower() in FILES:
        return Lora(Path(text))
    if not NUMBER.fullmatch(tail) or not math.isfinite(float(tail)) or float(tail) == 0:
        raise EngineError(
            f"{text}: an adapter's scale is {tail!r}; expected FILE or FILE:SCALE, SCALE any number but 0, such as "
            f"{head}:0.8"
        )
    return Lora(Path(head), float(tail))


def fuse(pipeline: Any, file: AdapterFile, lora: Loadable, scale: float, folder: Path) -> None:
    """Add an adapter to the weights of a pipeline's networks, which hold values.

    Parameters
    ----------
    folder
        A private one, through which diffusers reads the adapter.

    Raises
    ------
    EngineError
        It does not fit the networks, something of it would be left out, or it changes nothing or makes weights that
        are no numbers of half precision: names it.
    """
    from safetensors.torch import save_file

    _check_width(pipeline, file)
    name, kept = "adapter", folder / "adapter.safetensors"
    words = {"format": "pt"} | ({"lora_adapter_metadata": json.dumps(lora.settings)} if lora.settings else {})
    save_file({key: value.clone().contiguous() for key, value in lora.tensors.items()}, kept, metadata=words)
    try:
        with quiet(), torch.no_grad():
            pipeline.load_lora_weights(str(folder), weight_name=kept.name, adapter_name=name, use_safetensors=True)
            pipeline.set_adapters([name], [1.0])
    except Exception as error:  # whatever diffusers and peft make of an adapter that is not for this pipeline
        raise EngineError(
            f"{file.path} does not fit this pipeline ({reason(error)}): it is an adapter of another architecture, in a "
            "format that diffusers does not read, or one that needs other versions of peft and transformers"
        ) from error
    finally:
        kept.unlink()
    networks = {part: getattr(pipeline, part) for part in lora.parts}
    _check_used(file, lora, networks, name)
    _check_scales(file, networks, name, lora.scales)
    before = _state(networks, name)
    with quiet(), torch.no_grad():
        pipeline.set_adapters([name], [scale])
        pipeline.fuse_lora(components=lora.parts, adapter_names=[name])
    after = _state(networks, name)
    pipeline.unload_lora_weights()
    _check_effect(file, scale, before, after)


def _check_width(pipeline: Any, file: AdapterFile) -> None:
    """Refuse an adapter whose attention reads text of another width, before diffusers fails deep inside."""
    own = getattr(getattr(pipeline, "unet", None), "config", {}).get("cross_attention_dim")
    cross = re.compile(r"attn2[._](processor\.)?to_k(_lora)?\.(lora_down|lora_A|down|lora\.down)\.weight$")
    widths = {value.shape[1] for name, value in file.tensors.items() if cross.search(name) and value.ndim > 1}
    if isinstance(own, int) and widths and widths != {own}:
        got = sorted(widths)[0]
        raise EngineError(
            f"{file.path} is an adapter of another architecture: its attention reads text of {got} dimensions"
            f"{_called(got)}, and this pipeline's reads {own}{_called(own)}"
        )


def _called(width: int) -> str:
    names = [family.text_widths[width] for family in families().values() if width in family.text_widths]
    return f" ({names[0]})" if names else ""


def _check_used(file: AdapterFile, lora: Loadable, networks: Mapping[str, Any], name: str) -> None:
    """Every tensor of the adapter is in a network, and nothing else is."""
    from peft.utils import get_peft_model_state_dict

    loaded = Counter(
        tensor_digest(value)
        for network in networks.values()
        for value in get_peft_model_state_dict(network, adapter_name=name).values()
    )
    unused = []
    for key, value in lora.tensors.items():
        if key.endswith(ALPHA):
            continue
        digest = tensor_digest(value)
        if loaded[digest]:
            loaded[digest] -= 1
        else:
            unused.append(key)
    if unused or loaded.total():
        what = f"{', '.join(unused[:3])}{' ...' if len(unused) > 3 else ''}" if unused else "weights that are not there"
        raise EngineError(
            f"{file.path} is not used whole: diffusers leaves out {max(len(unused), loaded.total())} of its "
            f"{len(lora.tensors)} tensors for this pipeline ({what}); it is of another architecture, or damaged"
        )


def _check_scales(file: AdapterFile, networks: Mapping[str, Any], name: str, expected: Mapping[str, float]) -> None:
    """Each module has the scale that the file gives it: alpha over rank."""
    for part, network in networks.items():
        for place, layer in _layers(network, name):
            scale = expected.get(tensor_digest(layer.lora_A[name].weight), layer.scaling[name])
            if not math.isclose(layer.scaling[name], scale, rel_tol=1e-4):  # alphas may be in half precision
                raise EngineError(
                    f"{file.path}: diffusers would load {part}.{place} at {layer.scaling[name]:g} times its weights; "
                    f"the file says {scale:g}"
                )


def _state(networks: Mapping[str, Any], name: str) -> dict[str, tuple[float, int]]:
    """Of each weight that an adapter can change: its largest magnitude, and the sum of its bits, which tells a change.

    float32 weights; no second copy of them is held.
    """
    return {
        f"{part}.{place}.{own}": (float(value.detach().abs().max()), int(value.detach().view(torch.int32).sum()))
        for part, network in networks.items()
        for place, layer in _layers(network, name)
        for own, value in layer.get_base_layer().named_parameters()
    }


def _check_effect(
    file: AdapterFile, scale: float, before: Mapping[str, tuple[float, int]], after: Mapping[str, tuple[float, int]]
) -> None:
    """Refuse an adapter that changes no weight, and one that makes weights which no network works with."""
    if before == after:
        raise EngineError(
            f"{file.path} changes nothing at the scale {scale:g}: its matrices or its alphas are zero, or so small "
            "that they vanish in rounding; leave it out, or copy the file again"
        )
    for place, (largest, _) in after.items():
        if not largest <= LARGEST and before[place][0] <= LARGEST:
            raise EngineError(
                f"{file.path} at the scale {scale:g} makes weights of {place} up to {largest:g}; half precision ends "
                f"at {LARGEST:g}, and no network works with such weights: give a smaller scale (1 is the training's)"
            )


def _layers(network: Any, name: str) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    for place, layer in network.named_modules():
        if isinstance(layer, LoraLayer) and name in layer.lora_A:
            yield place, layer
