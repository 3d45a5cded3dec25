"""How extractors are named. Nothing is imported, so that the help of a command can list them at once."""

SPECS = (
    "random-conv-seed0 | colour-structure | timm:NAME=FILE.safetensors[#SHA256] | "
    "torchscript:FILE#SHA256[@SIZE] | transformers:FOLDER | checkpoint:FOLDER"
)
DEFAULT_EXTRACTORS = ("random-conv-seed0", "colour-structure")  # both need no weights
