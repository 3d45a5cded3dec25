"""A pipeline folder as diffusers' own pipeline object, without weights: what its numbers are is asked of diffusers."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engines.checkpoint.folder import read_json, reason, refuse_code
from engines.checkpoint.scheduler import open_scheduler
from engines.checkpoint.settings import check_settings
from engines.errors import EngineError
from engines.models import families, family_of
from engines.models.family import Family, Part
from engines.models.tiny import SMALL, TINY
from engines.silence import quiet

INDEX = "model_index.json"


def read_family(folder: Path) -> Family:
    """The family of a pipeline folder.

    Raises
    ------
    EngineError
        The folder is no pipeline, or of a kind that is not supported.
    """
    return family_of(folder, read_json(folder / INDEX))


def parts_of(folder: Path) -> dict[str, Part]:
    """The networks of a pipeline folder; without those that are optional and left out."""
    index, family = read_json(folder / INDEX), read_family(folder)
    return {name: part for name, part in family.parts.items() if not (part.optional and _left_out(index.get(name)))}


def tokenizers_of(folder: Path) -> list[str]:
    """The tokenizers of a pipeline folder, each of which belongs to a text encoder that is there."""
    parts = parts_of(folder)
    return [tokenizer for encoder, tokenizer in read_family(folder).readers().items() if encoder in parts]


def empty_pipeline(folder: Path) -> Any:
    """Diffusers' pipeline object of a folder, with networks that have shapes and no weights, and without tokenizers.

    The constructor of the pipeline changes settings of old folders; here as in a user's own script.

    Raises
    ------
    EngineError
        A part is missing or of another class, or a setting is not followed here; names it.
    """
    check_index(folder, read_json(folder / INDEX))
    refuse_code(folder, [*parts_of(folder), *tokenizers_of(folder), "scheduler"])
    pipeline = pipeline_of(folder, {part: empty_network(folder, part) for part in parts_of(folder)})
    if pipeline.scheduler.config.get("clip_sample"):  # which the pipeline for text to image sets to False
        raise EngineError(
            f"{folder / 'scheduler' / 'scheduler_config.json'} has clip_sample = True, by which diffusers' "
            f"{type(pipeline).__name__} clips latents: set it to false, as Stable Diffusion has it"
        )
    return pipeline


def pipeline_of(folder: Path, networks: Mapping[str, Any], tokenizers: Mapping[str, Any] | None = None) -> Any:
    """Diffusers' pipeline object of networks and of the scheduler in a folder, which `check_index` let pass.

    Raises
    ------
    EngineError
        The scheduler is not followed here, or the parts do not fit each other.
    """
    index, family = read_json(folder / INDEX), read_family(folder)
    config = read_json(folder / "scheduler" / "scheduler_config.json")
    scheduler = open_scheduler(folder, index["scheduler"][1], config, family.flow)
    denoiser, vae = networks[family.denoiser].config, networks["vae"].config
    kind = pipeline_class(family, inpaint=family.inpainting is not None and denoiser.in_channels != vae.latent_channels)
    takes = inspect.signature(kind.__init__).parameters
    given = {name: value for name, value in index.items() if name in takes and not isinstance(value, list)}
    given |= {name: None for name, one in takes.items() if one.default is one.empty and name != "self"}
    off = {name: False for name in ("requires_safety_checker", "add_watermarker") if name in takes}
    try:
        with quiet():
            return kind(**given | off | dict(networks) | {"scheduler": scheduler} | dict(tokenizers or {}))
    except Exception as error:  # whatever a pipeline makes of parts that do not fit each other
        raise EngineError(f"{folder} is not opened by diffusers' {kind.__name__} ({reason(error)})") from error


def pipeline_class(family: Family, inpaint: bool) -> Any:
    """The class of diffusers that opens a folder."""
    import diffusers

    return getattr(diffusers, family.inpainting if inpaint and family.inpainting else family.pipelines[0])


def network_class(part: Part) -> Any:
    """The class of a network, of diffusers or of transformers."""
    return getattr(importlib.import_module(part.library), part.kind)


def check_index(folder: Path, index: dict[str, Any]) -> None:
    """Refuse another kind of pipeline, and parts of other classes.

    Raises
    ------
    EngineError
        Names the pipeline or the part.
    """
    family = family_of(folder, index)
    _check_class(folder, index, family)
    check_settings(folder / INDEX, index, family.index)
    classes: dict[str, tuple[str, tuple[str, ...], bool]] = {}
    classes |= {name: (part.library, (part.kind,), part.optional) for name, part in family.parts.items()}
    classes |= {name: ("transformers", tokens.kinds, tokens.optional) for name, tokens in family.tokenizers.items()}
    for part, (library, expected, optional) in {**classes, "scheduler": ("diffusers", (), False)}.items():
        entry = index.get(part)
        if optional and _left_out(entry):
            continue
        if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) for word in entry)):
            raise EngineError(f"{folder / INDEX} names no {part}: restore it")
        if entry[0] != library:  # diffusers would import any other, from the folder itself if it lies there
            raise EngineError(
                f"{folder / INDEX} takes its {part} from {entry[0]!r}; expected {library!r}: "
                "code in a model's folder is not run"
            )
        if expected and entry[1] not in expected:
            raise EngineError(
                f"{folder / part} is of the class {entry[1]}; this version builds engines of {expected[0]} only"
            )
    for pair in family.readers().items():
        without = [name for name in pair if _left_out(index.get(name))]
        if len(without) == 1:
            there = next(name for name in pair if name not in without)
            raise EngineError(
                f"{folder / INDEX} names no {without[0]}, and a {there} that is of no use without it: restore it, or "
                "leave out both"
            )


def _check_class(folder: Path, index: Mapping[str, Any], family: Family) -> None:
    """Refuse a pipeline's class that does not go with the parts that are named beside it."""
    named = {name for name, entry in index.items() if isinstance(entry, list) and not _left_out(entry)}
    known = _names(family) | family.index.used | family.index.without_influence | family.index.only.keys()
    strange = sorted(name for name in named - known if any(name in _names(other) for other in families().values()))
    if strange:
        wanted = {*strange, family.denoiser}
        fits = [one.pipelines[0] for one in families().values() if wanted <= _names(one)]
        raise EngineError(
            f"{folder / INDEX} says _class_name {index['_class_name']}, which has no {' and no '.join(strange)}: class "
            f"and parts do not fit; expected {' or '.join(fits) or 'the class that has these parts'}: restore the file"
        )


def _names(family: Family) -> set[str]:
    """The parts of a family that have folders of their own."""
    return {*family.parts, *family.tokenizers}


def empty_network(folder: Path, part: str) -> Any:
    """One network as its configuration describes it: parameters without values, buffers with theirs.

    Raises
    ------
    EngineError
        The configuration is missing, of another class, or describes no network.
    """
    import transformers
    from accelerate import init_empty_weights

    known = TINY if part == SMALL else read_family(folder).parts[part]
    path = folder / part / "config.json"
    config = read_json(path)
    key, expected = ("architectures", [known.kind]) if known.config else ("_class_name", known.kind)
    if key not in config:
        raise EngineError(f"{path} names no class: restore it, or add {json.dumps({key: expected})[1:-1]} to it")
    if (got := config[key]) not in (expected, known.kind):
        name = got[0] if isinstance(got, list) and len(got) == 1 else got
        raise EngineError(f"{path.parent} is of the class {name}; this version builds engines of {known.kind} only")
    check_settings(path, config, known.settings)
    kind = network_class(known)
    try:
        with quiet(), init_empty_weights(include_buffers=False):
            if known.config:
                settings = getattr(transformers, known.config)(**config)
                return kind._from_config(settings, attn_implementation="eager").eval()
            return kind.from_config(config).eval()
    except Exception as error:  # whatever a class makes of settings that do not fit each other
        raise EngineError(f"{path} describes no {known.kind} ({reason(error)}): restore it") from error


def _left_out(entry: Any) -> bool:
    """Whether an index says that a part is not there."""
    return entry is None or entry == [None, None]
