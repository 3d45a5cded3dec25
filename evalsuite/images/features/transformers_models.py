"""Vision models in transformers' layout, from a local folder: CLIP's images and texts, or a class token."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dermforge.common.digests import digest_file
from dermforge.common.errors import DataWarning, UserError
from dermforge.common.loading_bars import without_bars
from dermforge.common.texts_as_values import json_value
from evalsuite.images.features.extractors import Extractor, Images, OfStrings, normalised
from evalsuite.images.features.presets import IMAGENET, Preset, Statistics

#: A CLIP that names itself so in `config.json`. Others (SigLIP, BLIP) put images and texts together in other ways.
CLIP_MODELS = ("clip", "clip_vision_model")


def transformers_folder(folder: Path, device: str = "cpu", preset: Preset | None = None) -> Extractor:
    """CLIP's image embedding, or the class token of DINOv2 and other vision models, from a local folder.

    Parameters
    ----------
    preset
        Gives the name, the size and the normalisation; without it the folder's configuration does.
    """
    from transformers import AutoModel, CLIPVisionModelWithProjection

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json; expected a transformers folder (nothing is downloaded)")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder}: no *.safetensors weights; convert them first (pickles are refused)")
    if (folder / "adapter_config.json").exists():  # by which transformers would load weights of another folder
        raise UserError(f"{folder} holds adapter_config.json: merge the adapter into the weights, or take it away")
    settings = [path for name in ("config.json", "preprocessor_config.json") if (path := folder / name).is_file()]
    digest = hashlib.sha256("".join(digest_file(f) for f in [*files, *settings]).encode()).hexdigest()
    kind = json_value((folder / "config.json").read_text()).get("model_type", "")
    is_clip = str(kind).startswith("clip")
    model = _loaded(CLIPVisionModelWithProjection if is_clip else AutoModel, folder)
    model.to(device)
    config = getattr(model.config, "vision_config", model.config)
    size, statistics = config.image_size, _statistics(folder)
    kind_name = config.model_type.replace("_vision_model", "")
    name = f"{kind_name}-h{config.hidden_size}p{config.patch_size}-{size}"
    if is_clip and (config.hidden_size, config.patch_size, size) == (1024, 14, 336):
        name = "clip-vit-l14-336"
    if preset:
        name, size, statistics = f"{preset.name}@{digest[:8]}", preset.size, preset.statistics
        digest = f"{digest}/{size}/{statistics}"

    @torch.inference_mode()
    def embed(images: Images) -> NDArray[np.float32]:
        out = model(pixel_values=normalised(images, size, statistics, device))
        features = out.image_embeds if is_clip else out.last_hidden_state[:, 0]
        return np.asarray(features.float().cpu().numpy())

    texts = _texts(folder, device) if kind in CLIP_MODELS and _has_tokenizer(folder) else None
    return Extractor(name, f"transformers/{digest}", embed, texts)


def _texts(folder: Path, device: str) -> OfStrings:
    """Text embeddings of a CLIP folder [n, d]; the text model is loaded at the first call. Long texts are cut."""
    loaded: list[Any] = []

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        from transformers import CLIPTextModelWithProjection, CLIPTokenizerFast

        if not loaded:
            tokenizer = CLIPTokenizerFast.from_pretrained(folder, local_files_only=True)
            loaded.extend([tokenizer, _loaded(CLIPTextModelWithProjection, folder).to(device)])
        tokenizer, model = loaded
        most = model.config.max_position_embeddings
        if long := sum(len(one) > most for one in tokenizer(list(texts))["input_ids"]):
            warnings.warn(f"{long} prompts are longer than {most} tokens and are cut there", DataWarning, stacklevel=2)
        tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=most, return_tensors="pt")
        return np.asarray(model(**tokens.to(device)).text_embeds.float().cpu().numpy())

    return embed


def _has_tokenizer(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return "tokenizer.json" in names or {"vocab.json", "merges.txt"} <= names


def _loaded(kind: Any, folder: Path) -> Any:
    try:
        with without_bars("transformers"):
            model, loaded = kind.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except RuntimeError as error:  # other shapes
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder}: the weights do not fit config.json ({reason}); copy both from the same model"
        ) from error
    _check_whole(folder, model, loaded)
    return model.eval()


def _check_whole(folder: Path, model: Any, loaded: Mapping[str, Any]) -> None:
    """Refuse weights that are missing, which transformers draws at random, and unknown ones inside the network.

    What a whole model has beside the network may be left out: CLIP's text, a classifier. So may a pooler, which comes
    after the features.
    """
    parts = {name.partition(".")[0] for name in model.state_dict()}
    own = f"{model.base_model_prefix}."
    missing = sorted(name for name in loaded["missing_keys"] if not name.startswith("pooler."))
    unknown = sorted(
        name
        for name in loaded["unexpected_keys"]
        if parts.intersection(n.partition(".")[0] for n in (name, name.removeprefix(own)))
        and not name.endswith("position_ids")
    )
    for word, names in (("missing", missing), ("unknown", unknown)):
        if names:
            raise UserError(
                f"{folder}: {len(names)} weights of {type(model).__name__} are {word}, the first {names[0]}; copy "
                "config.json and the weights from the same model"
            )


def _statistics(folder: Path) -> Statistics:
    file = folder / "preprocessor_config.json"
    config = json_value(file.read_text()) if file.is_file() else {}
    return tuple(config.get("image_mean", IMAGENET[0])), tuple(config.get("image_std", IMAGENET[1]))
