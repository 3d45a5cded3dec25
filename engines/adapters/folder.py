"""A pipeline folder with adapters fused in and words added: a private one, from which a build goes on as from any."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from dermforge.common.digests import digest_file
from engines.adapters.files import KEPT_IN, AdapterFile, read_adapter
from engines.adapters.kohya_transformers import read_transformer_lora
from engines.adapters.lora import Lora, fuse
from engines.adapters.lora_formats import Loadable, check_lora, is_kohya, read_lora
from engines.adapters.words import add_word
from engines.checkpoint.skeleton import INDEX, empty_pipeline, parts_of, read_family, tokenizers_of
from engines.checkpoint.weights import load_part, write_weights
from engines.errors import EngineError
from engines.facts import read_facts, write_facts
from engines.find_model import resolve
from engines.models.tiny import SMALL
from engines.pipeline_spec import model_digest
from engines.private_copy import derived_folder
from engines.small_decoder import has_small_decoder


@contextmanager
def with_adapters(model: str | Path, loras: Sequence[Lora], embeddings: Sequence[Path]) -> Iterator[Path]:
    """A pipeline folder whose weights hold the adapters, and whose tokenizers and text encoders know the words.

    It lies where temporary files do (`TMPDIR`), holds links to the parts that do not change, and is removed in the end.
    Its `dermforge.json` is that of the model, with each file, its sha256 and its scale, and with the lineage of those
    whose training images are known; of the others it says that nobody recorded them.

    Parameters
    ----------
    model
        A pipeline folder or hub id, which is given back as it is where there is nothing to add.
    embeddings
        Files of learnt words.

    Raises
    ------
    EngineError
        The model or a file is not usable, a file is for another architecture, or something of it would be left out.
    """
    base = resolve(model)
    if not loras and not embeddings:
        yield base
        return
    model_digest(base)  # refuses a tuned pipeline that was changed, whose digests do not go with it
    files = [read_adapter(lora.path) for lora in loras]
    words = [read_adapter(path) for path in embeddings]
    _refuse_fused(base, files)
    _refuse_twice([*files, *words])
    with derived_folder(base, base.resolve().name) as folder:
        link_parts(base, folder)
        if loras:
            _fuse_all(base, folder, files, [lora.scale for lora in loras], folder.parent)
        for file in words:
            add_word(folder, file)
        facts = read_facts(base)
        facts.pop("files", None)
        added = [file.fact("lora", lora.scale) for file, lora in zip(files, loras, strict=True)]
        added += [file.fact("embedding") for file in words]
        lineage = [*facts.get("lineage", []), *(entry for file in (*files, *words) for entry in file.lineage())]
        facts["adapters"] = [*facts.get("adapters", []), *(one.model_dump() for one in added)]
        facts["lineage"] = list(dict.fromkeys(lineage))
        facts["phantom"] = bool(facts.get("phantom")) or any(file.phantom() for file in (*files, *words))
        write_facts(folder, facts)
        yield folder


def _refuse_fused(base: Path, files: Sequence[AdapterFile]) -> None:
    """Refuse adapters that a pipeline's weights hold already: those kept beside them, and those that it names.

    Raises
    ------
    EngineError
        Names the first one.
    """
    kept = {digest_file(path) for path in (base / KEPT_IN).glob("*.safetensors")}
    held = kept | {one["sha256"] for one in read_facts(base).get("adapters", [])}
    if fused := [file.path for file in files if file.sha256 in held]:
        raise EngineError(
            f"{fused[0]} is fused into the weights of {base} already, and would count twice: leave it out, or give the "
            "pipeline that it was trained on"
        )


def _refuse_twice(files: Sequence[AdapterFile]) -> None:
    """Refuse the same file given again, under whichever name: it would count twice.

    Raises
    ------
    EngineError
        Names both.
    """
    seen: dict[str, Path] = {}
    for file in files:
        if file.sha256 in seen:
            other = "" if file.path == seen[file.sha256] else f" (as {seen[file.sha256]})"
            raise EngineError(
                f"{file.path} is given twice{other}, and would count twice: give it once, an adapter with the sum of "
                "its scales"
            )
        seen[file.sha256] = file.path


def link_parts(base: Path, folder: Path) -> None:
    """Links to the parts of a pipeline, which are replaced where they change."""
    own = [SMALL] if has_small_decoder(base) else []
    parts = ("scheduler", *parts_of(base), *tokenizers_of(base), *own)
    folder.mkdir(parents=True)
    (folder / INDEX).write_bytes((base / INDEX).read_bytes())
    for part in parts:
        (folder / part).symlink_to((base / part).resolve(), target_is_directory=True)


def _fuse_all(base: Path, folder: Path, files: Sequence[AdapterFile], scales: Sequence[float], place: Path) -> None:
    """Fuse adapters one after the other, and write the parts that they change in float32."""
    pipeline = empty_pipeline(base)
    can = [part for part in getattr(pipeline, "_lora_loadable_modules", ()) if part in parts_of(base)]
    if not can:
        raise EngineError(
            f"{files[0].path} is not fused: diffusers loads no adapters of {read_family(base).title}; fuse it where "
            "it was trained, and save the pipeline"
        )
    read = [_read(file, base, {part: getattr(pipeline, part) for part in can}) for file in files]
    if len(read) > 1 and (dora := [file for file, one in zip(files, read, strict=True) if one.dora]):
        raise EngineError(f"{dora[0].path} is a DoRA, whose effect depends on the base's weights: give it alone")
    changed = sorted({part for one in read for part in one.parts})
    networks = {part: load_part(base, part) for part in changed}
    _room(networks, place)
    pipeline.register_modules(**networks)
    for file, one, scale in zip(files, read, scales, strict=True):
        fuse(pipeline, file, one, scale, place)
    for part in changed:
        (folder / part).unlink()
        (folder / part).mkdir()
        shutil.copyfile(base / part / "config.json", folder / part / "config.json")
        write_weights(folder, part, getattr(pipeline, part).state_dict())


def _read(file: AdapterFile, base: Path, networks: dict[str, nn.Module]) -> Loadable:
    """An adapter in the names of diffusers, whichever trainer wrote it."""
    family = read_family(base)
    if family.denoiser == "transformer" and family.layouts and is_kohya(file):
        check_lora(file)
        return read_transformer_lora(file, family, networks)
    return read_lora(file, family.denoiser, list(networks))


def _room(networks: dict[str, nn.Module], place: Path) -> None:
    """Refuse before the work what would not fit on the disk."""
    needed = sum(4 * value.numel() for network in networks.values() for value in network.parameters())
    if needed > (free := shutil.disk_usage(place).free):
        raise EngineError(
            f"the fused weights need {needed / 1e9:.1f} GB in {tempfile.gettempdir()}, where {free / 1e9:.1f} GB are "
            "free: set TMPDIR to a folder on a larger disk"
        )
