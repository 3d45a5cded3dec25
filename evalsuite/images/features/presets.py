"""The encoders that go by a name: what each one is, where its weights come from, and how it wants to be fed.

A table and nothing else: `preset_models` opens what it describes. What is said of a model was read in its own code
and card. Weights were not at hand, so no preset was run on the published ones (docs/how-to/extractors.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evalsuite.images.features.names import PRESETS

#: Mean and standard deviation of the channels, of pixels 0 to 1.
Statistics = tuple[tuple[float, ...], tuple[float, ...]]

IMAGENET: Statistics = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: As SwAV and PanDerm normalise, in their own code.
NEARLY_IMAGENET: Statistics = (0.485, 0.456, 0.406), (0.228, 0.224, 0.225)
CLIP: Statistics = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Preset:
    """An encoder.

    Attributes
    ----------
    kind
        What opens it: transformers (a folder in that layout), timm (one safetensors file), inception (the same, in
        torch-fidelity's network) or table (features that its own code has computed).
    source
        Where the weights are: a hub id `owner/name`, or an address.
    size
        Side of the square in pixels that the network gets.
    feature
        Which of its outputs is taken, in words.
    files
        What to get from the hub; for other kinds the one file that the author offers.
    pickled
        Whether that file is a pickle, which is never opened here: a person converts it.
    within
        Where the tensors lie in that pickle, as a key; "" where it is a mapping of tensors itself.
    architecture, settings, prefix, projection
        Of a timm model: its name there, its settings, what the names of its weights begin with in the file, and the
        weight of a linear layer after it.
    width
        Numbers of a feature; 0 where the weights decide.
    """

    name: str
    what: str
    kind: Literal["transformers", "timm", "inception", "table"]
    source: str
    licence: str
    size: int
    statistics: Statistics
    feature: str
    files: tuple[str, ...]
    pickled: bool = False
    within: str = ""
    architecture: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    projection: str = ""
    width: int = 0


TABLE = (
    Preset(
        name="monet",
        what="CLIP ViT-L/14 taught on 105,550 dermatological images with text (Kim 2024)",
        kind="transformers",
        source="suinleelab/monet",
        licence="not stated on its card",
        size=224,
        statistics=IMAGENET,
        feature="image embedding (projected)",
        files=(
            "config.json",
            "preprocessor_config.json",
            "model.safetensors",
            "tokenizer*",
            "vocab.json",
            "merges.txt",
        ),
    ),
    Preset(
        name="panderm",
        what="ViT-L/16 taught on 2 million images of skin without labels (Yan 2025)",
        kind="timm",
        source="https://github.com/SiyuanYan1/PanDerm",
        licence="CC-BY-NC-ND-4.0",
        size=224,
        statistics=NEARLY_IMAGENET,
        feature="class token after the last norm",
        files=("panderm_ll_data6_checkpoint-499.pth",),
        pickled=True,
        within="model",
        architecture="beit_large_patch16_224",
        settings={"global_pool": "token", "use_rel_pos_bias": False, "use_abs_pos_emb": True, "init_values": 0.1},
        prefix="encoder.",
    ),
    Preset(
        name="derm-foundation",
        what="BiT-M ResNet-101x3 taught on labelled images of skin (Google), a TensorFlow SavedModel",
        kind="table",
        source="google/derm-foundation",
        licence="Health AI Developer Foundations terms of use",
        size=448,
        statistics=((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        feature="embedding",
        files=(),
        width=6144,
    ),
    Preset(
        name="biomedclip",
        what="ViT-B/16 of a CLIP taught on 15 million figures of PubMed Central (Zhang 2023)",
        kind="timm",
        source="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        licence="MIT",
        size=224,
        statistics=CLIP,
        feature="image embedding (projected)",
        files=("open_clip_pytorch_model.bin",),
        pickled=True,
        architecture="vit_base_patch16_224",
        prefix="visual.trunk.",
        projection="visual.head.proj.weight",
    ),
    Preset(
        name="dinov2",
        what="ViT-B/14 taught on photographs without labels (Oquab 2023)",
        kind="transformers",
        source="facebook/dinov2-base",
        licence="Apache-2.0",
        size=224,
        statistics=IMAGENET,
        feature="class token after the last norm",
        files=("config.json", "preprocessor_config.json", "model.safetensors"),
    ),
    Preset(
        name="swav",
        what="ResNet-50 taught on ImageNet without labels (Caron 2020)",
        kind="timm",
        source="https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar",
        licence="CC-BY-NC-4.0",
        size=224,
        statistics=NEARLY_IMAGENET,
        feature="mean over the last layer",
        files=("swav_800ep_pretrain.pth.tar",),
        pickled=True,
        architecture="resnet50",
        prefix="module.",
    ),
    Preset(
        name="inception",
        what="Inception v3 in torch-fidelity's network: FID and KID as torch-fidelity counts them",
        kind="inception",
        source="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        licence="Apache-2.0",
        size=299,
        statistics=((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        feature="mean over the last layer, 2048 numbers",
        files=("weights-inception-2015-12-05-6726825d.pth",),
        pickled=True,
        width=2048,
    ),
)
assert tuple(one.name for one in TABLE) == PRESETS


def preset_named(name: str) -> Preset | None:
    """The preset of a name, or None."""
    return next((one for one in TABLE if one.name == name), None)
