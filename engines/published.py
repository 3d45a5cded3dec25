"""What of a bundle or a pipeline folder goes to the hub and comes back: files that its own record names, never code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from dermforge.common.errors import CheckFailed, UserError
from dermforge.common.regular_file import read_regular
from dermforge.common.sealed_file import is_sealed_json
from engines.bundle import Bundle, find_record, read_bundle, read_manifest, read_record
from engines.certificate import Certificate, read_certificate
from engines.errors import EngineError
from engines.facts import FACTS, read_facts
from engines.manifest import MANIFEST, PARITY_BASE, RECORDS, TIMINGS, Record
from engines.pipeline_spec import DIGESTED, model_digest
from engines.use import read_use

#: Suffixes of what holds numbers, words and graphs, and runs nothing when it is opened.
DATA = (".data", ".json", ".model", ".onnx", ".safetensors", ".txt")
INDEX = "model_index.json"
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*){0,3}")
#: Of a pipeline, and in no record: the licence of its weights, and the words of a tokenizer in sentencepiece's format.
_BESIDE = re.compile(r"LICENSE[A-Za-z0-9._-]{0,40}|tokenizer(_\d)?/[A-Za-z0-9_-]+\.model")


def record_of(names: Iterable[str]) -> str:
    """The file that says what a folder or a repository holds.

    Raises
    ------
    EngineError
        It holds neither a bundle nor a pipeline that gen made.
    """
    known = set(names)
    if MANIFEST in known:
        return MANIFEST
    if {FACTS, INDEX} <= known:
        return FACTS
    raise EngineError(
        f"there is neither {MANIFEST}, of an engine bundle, nor {FACTS} with {INDEX}, of a pipeline that `gen "
        "finetune` or `gen distill` made; other pipelines of the hub are read by their id: `gen build-engine --model "
        "OWNER/NAME`"
    )


def recorded(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a bundle or a pipeline, as its record says; no other file has to be there.

    Raises
    ------
    EngineError
        The record is damaged, or names code, or says nothing of the files.
    """
    known: tuple[str, ...]
    if record_of(path.name for path in folder.iterdir()) == MANIFEST:
        found = {one.path: one.sha256 for one in read_manifest(folder).manifest.artefacts}
        known, remedy = DATA, "push the pipeline that it was built from, or a bundle for onnxruntime"
    else:
        found, known = _files_of_pipeline(folder), DIGESTED
        remedy = "make the pipeline again"
    for name in found:
        if PurePosixPath(name).suffix not in known or not _PATH.fullmatch(name):
            raise EngineError(
                f"the record names {name}, which is compiled for one machine, or not of the format: code does not "
                f"go over a hub, because whoever opens it runs it; {remedy}, and build where it is to run"
            )
    return found


def _files_of_pipeline(folder: Path) -> dict[str, str]:
    files = read_facts(folder).get("files")
    sealed = is_sealed_json(read_regular(folder / FACTS))
    if not sealed or not isinstance(files, dict) or not files:
        raise EngineError(
            f"{folder / FACTS} does not say what the files hash to, so nobody could tell whether they came back whole: "
            "expected a pipeline as `gen finetune` or `gen distill` wrote it"
        )
    return {str(name): str(sha256) for name, sha256 in files.items()}


def beside(names: Iterable[str], record: str) -> list[str]:
    """Which of the names belong to a bundle or a pipeline, and are in no list of digests: records have their own."""
    if record == MANIFEST:
        return sorted({MANIFEST, *RECORDS} & set(names))
    return sorted(name for name in names if name == FACTS or _BESIDE.fullmatch(name))


def is_ours(name: str) -> bool:
    """Whether a name in a repository can be of a bundle or a pipeline."""
    known = PurePosixPath(name).suffix in DATA and _PATH.fullmatch(name)
    return bool(known or _BESIDE.fullmatch(name) or name == "README.md")


def check_whole(folder: Path) -> None:
    """Hash every file of a bundle or a pipeline.

    Raises
    ------
    CheckFailed
        One is not as it was written.
    """
    try:
        if (folder / MANIFEST).is_file():
            _check_bundle(read_bundle(folder))
        else:
            model_digest(folder)
    except UserError as error:
        raise CheckFailed(str(error)) from error


def _check_bundle(bundle: Bundle) -> None:
    bundle.verify()
    if bundle.manifest.certified:
        read_certificate(bundle)
    if bundle.manifest.base and bundle.manifest.certified:
        read_record(bundle, PARITY_BASE, Certificate)
    find_record(bundle, TIMINGS, Record)
    read_use(bundle)
