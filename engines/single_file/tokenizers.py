"""The tokenizers of a checkpoint, which holds none: CLIP's is carried here, others come from a folder that is given.

`clip/merges.txt` is the vocabulary of OpenAI's CLIP (MIT licence, beside it): its first 48894 merges, as every model of
these families has them. The tokens and their numbers follow from them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from engines.checkpoint.tokenizer import LISTS
from engines.errors import EngineError
from engines.single_file.described import Described

MERGES = Path(__file__).with_name("clip") / "merges.txt"
START, END = "<|startoftext|>", "<|endoftext|>"
TOKENS = 77


def write_tokenizers(path: Path, folder: Path, described: Described, parts: Sequence[str], given: Path | None) -> None:
    """Put the tokenizer of each text encoder into a pipeline folder: a link to the given one, or CLIP's.

    Parameters
    ----------
    parts
        The networks of the pipeline.
    given
        A folder with tokenizers in it, or None.

    Raises
    ------
    EngineError
        A tokenizer is neither given nor carried.
    """
    for encoder, name in described.family.readers().items():
        if encoder not in parts:
            continue
        if given is not None and (given / name).is_dir():
            (folder / name).symlink_to((given / name).resolve(), target_is_directory=True)
        elif name in described.pads:
            write_clip(folder / name, described.pads[name])
        else:
            raise EngineError(
                f"{path} needs a {name} for its {encoder}, whose vocabulary is not carried here: give a folder that "
                f"has {name}/ by `parts_from`, such as the pipeline's own"
            )


def write_clip(place: Path, pad: str) -> None:
    """Write CLIP's tokenizer into a new folder; `pad` is the token that prompts are filled up with."""
    place.mkdir()
    text = MERGES.read_text(encoding="utf-8")
    (place / LISTS[0]).write_text(json.dumps(vocabulary(text), ensure_ascii=False), encoding="utf-8")
    (place / LISTS[1]).write_text(text, encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": TOKENS,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": pad,
        "errors": "replace",
        "add_prefix_space": False,
        "do_lower_case": True,
    }
    (place / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def vocabulary(merges: str) -> dict[str, int]:
    """Token -> number: bytes, bytes at the end of a word, one token a merge, and the two that frame a text."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [code for code in range(256) if code not in shown]  # bytes that are no letters stand for themselves + 256
    letters = [*map(chr, shown), *(chr(256 + number) for number in range(len(hidden)))]
    pairs = [line.replace(" ", "") for line in merges.splitlines()[1:] if line]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *pairs, START, END]
    return {token: number for number, token in enumerate(tokens)}
