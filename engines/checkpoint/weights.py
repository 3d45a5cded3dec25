"""The weights of a part: read from safetensors, compared with its network by name and shape, and loaded whole."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from engines.checkpoint.folder import weight_files, weights_name
from engines.checkpoint.safetensors_file import entries, open_safetensors
from engines.checkpoint.skeleton import empty_network
from engines.errors import EngineError
from engines.int8_weights import holds_int8, to_int8

Change = Callable[[str, torch.Tensor], torch.Tensor]

#: What wrappers of a network put into the names of its weights when the wrapper is saved and not the network.
WRAPPERS = {
    "_orig_mod.": r"(?:^|(?<=\.))_orig_mod\.",  # torch.compile
    "_fsdp_wrapped_module.": r"(?:^|(?<=\.))_fsdp_wrapped_module\.",
    "_checkpoint_wrapped_module.": r"(?:^|(?<=\.))_checkpoint_wrapped_module\.",
    "module.": r"^module\.",  # DistributedDataParallel
    "base_model.model.": r"^base_model\.model\.",  # peft
    "base_layer.": r"(?<=\.)base_layer\.",  # peft
}
ADAPTER = re.compile(r"(^|\.)(lora_|lora\.|hada_|oft_|boft_|ia3_|vera_|loha_|lokr_)")
#: Old names of the VAE's attention, which diffusers reads as well.
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
#: Types of weights, as safetensors names them.
TYPES = ("F32", "F16", "BF16", "F64")
#: The weights of CLIP's text encoder as transformers 5 names them. Transformers 4, and what is written here, has
#: `text_model.` in front of each.
CLIP_TEXT = re.compile(
    r"^(?=(embeddings\.(token_embedding|position_embedding|position_ids)|encoder\.layers|final_layer_norm)\b)"
)
#: T5 has its embeddings under two names, and files hold one or both.
TIED = {"encoder.embed_tokens.weight": "shared.weight"}
#: A buffer that older versions of transformers saved.
UNUSED = {"text_model.embeddings.position_ids"}


def check_weights(folder: Path, part: str, network: Any) -> list[str]:
    """Compare the names and shapes in a part's files with its network; no weight is read.

    Returns
    -------
    list
        What a wrapper of the network has put into names, which is taken away when the weights are loaded.

    Raises
    ------
    EngineError
        Weights are missing, of other shapes or types, or unknown: names the first of them and says what to do.
    """
    place = folder / part
    expected = {_own_name(name): list(value.shape) for name, value in network.state_dict().items()}
    files = weight_files(folder, part).files
    int8 = {_own_name(name) for name, value in network.state_dict().items() if value.dtype == torch.int8}
    for file in files:
        _check_types(file, int8)
    got = {name: shape for file in files for name, shape in _shapes(file).items()}
    names = own_names(place, got)
    found = {own: got[name] for name, own in names.items()}
    wrong = [name for name, shape in found.items() if name in expected and shape != expected[name]]
    if wrong:
        raise EngineError(
            f"{place}: the weights do not fit config.json: {wrong[0]} is {found[wrong[0]]}, expected "
            f"{expected[wrong[0]]}{_more(wrong)}; copy the configuration and the weights from the same model"
        )
    missing, unknown = sorted(expected.keys() - found), sorted(found.keys() - expected)
    if missing or unknown:
        parts = [f"{len(n)} {word} ({n[0]}{_more(n)})" for word, n in (("missing", missing), ("unknown", unknown)) if n]
        raise EngineError(
            f"{place}: weights are {' and '.join(parts)}: save the pipeline again with save_pretrained where it was "
            f"trained, from the {type(network).__name__} itself and not from what wraps it"
        )
    return sorted(word for word, pattern in WRAPPERS.items() if any(re.search(pattern, name) for name in got))


def own_names(place: Path, names: Iterable[str]) -> dict[str, str]:
    """The network's name of each weight, the same in all versions of the libraries; weights of no use are left out.

    What a wrapper has put into a name is taken away.

    Raises
    ------
    EngineError
        There is an adapter that is not fused, or two weights have one name.
    """
    found: dict[str, str] = {}
    for name in names:
        if ADAPTER.search(name):
            raise EngineError(
                f"{place} holds an adapter that is not fused ({name}): load it in diffusers, call fuse_lora() and "
                "unload_lora_weights(), and save the pipeline again"
            )
        own = _own_name(name)
        if own not in UNUSED:
            found[name] = own
    for name in [name for name in found if name in TIED and TIED[name] in found]:
        del found[name]
    if twice := [own for own, n in Counter(found.values()).items() if n > 1]:
        raise EngineError(f"{place} holds the weight {twice[0]} under two names: save the pipeline again")
    return found


def read_weights(folder: Path, part: str, changed: Change = lambda _, value: value) -> dict[str, torch.Tensor]:
    """A part's weights by the network's own names.

    Parameters
    ----------
    changed
        Name and value of a weight -> the value that is kept, so that no more than one is held twice.

    Raises
    ------
    EngineError
        A file is damaged, or a weight is NaN or infinite: names it.
    """
    weights: dict[str, torch.Tensor] = {}
    for path in weight_files(folder, part).files:
        with open_safetensors(path) as file:
            for name, own in own_names(path.parent, file.keys()).items():
                value = file.get_tensor(name)
                if not is_finite(value):
                    raise EngineError(
                        f"{path}: {own} holds NaN or infinity: the training diverged, or the file is damaged; take an "
                        "earlier checkpoint"
                    )
                weights[own] = changed(own, value)
    return weights


def is_finite(value: torch.Tensor) -> bool:
    """Whether no number is NaN or infinite, by one pass over them: either end of their range would be, too."""
    return not value.numel() or all(bool(end.isfinite()) for end in value.aminmax())


def load_part(folder: Path, part: str, int8: bool = False) -> Any:
    """One network of a pipeline folder in float32, every weight of it from the folder.

    Parameters
    ----------
    int8
        With the weights of its products in 8 bits, as its files may hold them already.

    Raises
    ------
    EngineError
        Weights are missing, unknown, damaged or not finite.
    """
    network = empty_network(folder, part)
    if stored := int8 and holds_int8(folder, part):
        to_int8(network)
    check_weights(folder, part, network)
    weights = read_weights(folder, part, lambda _, value: value.float() if value.is_floating_point() else value)
    network.load_state_dict({name: weights[_own_name(name)] for name in network.state_dict()}, strict=True, assign=True)
    return to_int8(network) if int8 and not stored else network


def copy_part(model: Path, out: Path, part: str, changed: Change | None = None) -> None:
    """Copy a part's configuration and weights into `out`/`part`: one file, under the network's own names.

    Parameters
    ----------
    changed
        Name and value of a weight -> the value that is written.
    """
    place, source = out / part, model / part
    place.mkdir(exist_ok=True)
    shutil.copyfile(source / "config.json", place / "config.json")
    files = weight_files(model, part).files
    as_it_is = len(files) == 1 and all(name == own for name, own in own_names(source, _shapes(files[0])).items())
    if changed is None and as_it_is:
        shutil.copyfile(files[0], place / f"{weights_name(part)}.safetensors")
        return
    write_weights(out, part, read_weights(model, part, changed or (lambda _, value: value)))


def write_weights(folder: Path, part: str, weights: Mapping[str, torch.Tensor]) -> None:
    """Write a part's weights into one file, under the names that every version of the libraries reads."""
    from safetensors.torch import save_file

    own = {_own_name(name): value.detach().contiguous() for name, value in weights.items()}
    save_file(own, folder / part / f"{weights_name(part)}.safetensors", metadata={"format": "pt"})


def _own_name(name: str) -> str:
    for _ in WRAPPERS:  # one wrapper may be in another
        for pattern in WRAPPERS.values():
            name = re.sub(pattern, "", name)
    name = TIED.get(CLIP_TEXT.sub("text_model.", name), CLIP_TEXT.sub("text_model.", name))
    return re.sub(r"(attentions\.\d+)\.(query|key|value|proj_attn)\.", lambda m: f"{m[1]}.{OLD_ATTENTION[m[2]]}.", name)


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _shapes(path: Path) -> dict[str, list[int]]:
    return {name: list(one.shape) for name, one in entries(path).items()}


def _check_types(path: Path, int8: set[str]) -> None:
    """Refuse weights that are kept as integers or in eight bits: they mean nothing without the scales of a method.

    Parameters
    ----------
    int8
        Weights whose network takes them in 8 bits.
    """
    types = {name: one.dtype for name, one in entries(path).items() if not (one.dtype == "I8" and name in int8)}
    if wrong := [name for name, kind in types.items() if kind not in TYPES and name not in UNUSED]:
        raise EngineError(
            f"{path}: {wrong[0]} is of type {types[wrong[0]]}{_more(wrong)}; expected one of {', '.join(TYPES)}: "
            "take the model's copy that is not quantized"
        )
