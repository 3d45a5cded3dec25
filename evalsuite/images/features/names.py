"""How extractors are named. Nothing is imported, so that the help of a command can list them at once."""

#: Encoders by name, in the order of `presets.TABLE`.
PRESETS = ("monet", "panderm", "derm-foundation", "biomedclip", "dinov2", "swav", "inception")
SPECS = (
    f"random-conv-seed0 | colour-structure | {' | '.join(PRESETS)} (each also =FOLDER or =FILE) | "
    "timm:NAME=FILE.safetensors[#SHA256] | torchscript:FILE#SHA256[@SIZE] | transformers:FOLDER | checkpoint:FOLDER | "
    "features:TABLE"
)
DEFAULT_EXTRACTORS = ("random-conv-seed0", "colour-structure")  # both need no weights
