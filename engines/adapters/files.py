"""The file of an adapter or of learnt words: read once, hashed as it is read, safetensors only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from dermforge.common import id_ranges
from dermforge.common.digests import digest_bytes
from dermforge.common.pickles import PICKLED
from engines.checkpoint.folder import one_line
from engines.checkpoint.safetensors_file import read_header
from engines.checkpoint.weights import is_finite
from engines.errors import EngineError
from engines.pipeline_spec import Adapter

#: Where our own files say what they were trained on: JSON with `lineage` and `phantom`.
OWN = "dermforge"
#: The folder of a tuned pipeline in which the adapter that was fused into it lies alone, where it is kept.
KEPT_IN = "lora"


@dataclass(frozen=True)
class AdapterFile:
    """What one file holds: its tensors by name, and the words of its header."""

    path: Path
    sha256: str
    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]

    def fact(self, kind: str, scale: float | None = None) -> Adapter:
        """What a pipeline that holds it says of it."""
        return Adapter.model_validate({"file": self.path.name, "sha256": self.sha256, "kind": kind, "scale": scale})

    def lineage(self) -> list[str]:
        """Ids of the real images that it was trained on, or the entry that says that nobody recorded them."""
        if (own := self._own()) is not None:
            return [str(entry) for entry in own["lineage"]]
        return [id_ranges.unrecorded(f"{self.path.name} sha256 {self.sha256[:16]}")]

    def phantom(self) -> bool:
        """Whether it is known to be trained on phantoms."""
        own = self._own()
        return own is not None and own.get("phantom") is True

    def _own(self) -> dict[str, Any] | None:
        if OWN not in self.metadata:
            return None
        try:
            own = json.loads(self.metadata[OWN])
        except ValueError:
            own = None
        if not isinstance(own, dict) or not isinstance(own.get("lineage"), list):
            raise EngineError(f"{self.path} has damaged words about its training ({OWN} in its header): copy it again")
        return own


def read_adapter(path: Path) -> AdapterFile:
    """Read a file of an adapter or of learnt words.

    Raises
    ------
    EngineError
        It is missing, pickled, no safetensors file, or holds a number that is not finite.
    """
    if path.is_dir():
        found = sorted(p.name for p in path.glob("*.safetensors"))
        raise EngineError(
            f"{path} is a folder; expected a .safetensors file" + (f", such as {path / found[0]}" if found else "")
        )
    if not path.is_file():
        raise EngineError(f"no file {path}; expected the .safetensors file of an adapter or of learnt words")
    if path.suffix.lower() in PICKLED:
        raise EngineError(
            f"{path} is a pickle, which can run code when opened; expected .safetensors: most sites offer both, or "
            "convert it on a machine that trusts it"
        )
    from safetensors.torch import load

    header = read_header(path)
    data = path.read_bytes()
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise EngineError(f"{path} is not a whole safetensors file ({one_line(error)}): download it again") from error
    if not tensors:
        raise EngineError(f"{path} holds no weights; expected those of an adapter or of learnt words")
    for name, value in tensors.items():
        if not value.is_floating_point() or value.element_size() == 1:
            raise EngineError(f"{path}: {name} is of type {value.dtype}; expected float32, float16 or bfloat16")
        if not value.numel():
            raise EngineError(f"{path}: {name} is empty, {list(value.shape)}: the file is damaged")
        if not is_finite(value):
            raise EngineError(f"{path}: {name} holds NaN or infinity: its training diverged, or the file is damaged")
    return AdapterFile(path, digest_bytes(data), tensors, header.get("__metadata__") or {})


def record_origin(path: Path, lineage: list[str], phantom: bool) -> None:
    """Write into the header of an adapter's file what it was trained on, for whoever fuses it later."""
    from safetensors.torch import save_file

    file = read_adapter(path)
    save_file(file.tensors, path, file.metadata | {OWN: json.dumps({"lineage": lineage, "phantom": phantom})})


def tensor_digest(value: torch.Tensor) -> str:
    """sha256 of a tensor's numbers in float32, whatever its shape: to find it again where it was loaded."""
    if value.is_meta:  # what a loader had no numbers for
        return ""
    return sha256(value.detach().float().contiguous().numpy().tobytes()).hexdigest()
