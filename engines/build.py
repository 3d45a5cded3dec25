"""A pipeline folder in, a certified bundle out; a bundle that fails its certificate is not written."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engines import torch as torch_backend
from engines.bundle import (
    PARITY,
    TIMINGS,
    Bundle,
    Manifest,
    describe,
    read_bundle,
    whole_folder,
    write_manifest,
)
from engines.certificate import THRESHOLDS, Classify, certify
from engines.errors import EngineError, ParityError
from engines.export import export
from engines.facts import ValidationPrompt, model_digest, read_facts, resolve
from engines.loading import BACKENDS, open_bundle
from engines.memory import build_bytes, require
from engines.sweep import choose_sizes

PACKAGES = ("torch", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime")
Progress = Callable[[str], None]


def build(
    model: str | Path,
    out: Path,
    *,
    backend: str = "onnxruntime",
    precision: str = "fp32",
    target: str | None = None,
    rows: int | None = None,
    size: int | None = None,
    prompts: Sequence[ValidationPrompt | str] | None = None,
    allow_parity_failure: bool = False,
    classify: Classify | None = None,
    progress: Progress = lambda _: None,
) -> Bundle:
    """Build an engine bundle.

    Parameters
    ----------
    model
        A pipeline folder (SD 1.x, 2.x, inpainting; safetensors), or a hub id.
    out
        The bundle's folder; replaced whole if it is a bundle already.
    backend
        onnxruntime, tensorrt, tensorrt-rtx or torch.
    precision
        fp32, fp16 or bf16.
    target
        GPU architecture of the plans, such as sm_89 (tensorrt-rtx only; `tensorrt` builds for the GPU it runs on).
    rows
        Rows of one UNet call; None for a sweep on this machine.
    size
        Image side in pixels; None for the model's own.
    prompts
        What the certificate draws; None for the model's validation prompts.
    allow_parity_failure
        Write a bundle that fails its certificate, marked so.
    classify
        uint8 images -> labels, to count the label flips per group.
    progress
        Told the name of each part as it starts.

    Raises
    ------
    EngineError
        A bad model, option or machine. `ParityError` for a failed certificate. Nothing is left behind.
    """
    if backend not in BACKENDS:
        raise EngineError(f"unknown backend {backend!r}; expected one of {', '.join(BACKENDS)}")
    if precision not in THRESHOLDS:
        raise EngineError(f"unknown precision {precision!r}; expected one of {', '.join(THRESHOLDS)}")
    if rows is not None and rows < 1:
        raise EngineError(f"rows must be 1 or more, got {rows}")
    if target and not backend.startswith("tensorrt"):
        raise EngineError(
            f"a target ({target}) is for the tensorrt backends; {backend} runs on the machine it is loaded on"
        )
    folder = resolve(model)
    facts = read_facts(folder, size)
    require(build_bytes(folder, precision), f"building {folder.name} in {precision}")
    drawn = [ValidationPrompt(prompt=p) if isinstance(p, str) else p for p in prompts or facts.validation_prompts]
    drawn = drawn or [ValidationPrompt(prompt=p) for p in ("a photo", "skin", "an image of a lesion", "")]

    with whole_folder(Path(out)) as partial:
        for part in ("tokenizer", "scheduler"):
            shutil.copytree(folder / part, partial / part)
        shutil.copyfile(folder / "model_index.json", partial / "model_index.json")
        if backend == "torch":
            progress("weights")
            torch_backend.copy_weights(folder, partial, precision)
        else:
            export(folder, partial, facts, precision, progress)
        manifest = Manifest.model_validate(
            {
                "backend": backend,
                "precision": precision,
                "model_digest": model_digest(folder),
                "facts": facts,
                "rows": rows or 16,
                "vae_batch": 8,
                "certified": False,
                "versions": _versions(),
                "artefacts": describe(partial),
            }
        )
        bundle = _record(partial, manifest)
        runs_here = "onnxruntime" if backend.startswith("tensorrt") else backend
        if rows is None:
            progress("row sweep")
            chosen = choose_sizes(bundle, runs_here)
            (partial / TIMINGS).write_text(chosen.model_dump_json(indent=1) + "\n")
            manifest = manifest.model_copy(update={"rows": chosen.rows, "vae_batch": chosen.vae_batch})
            bundle = _record(partial, manifest)
        progress("certificate")
        engine = open_bundle(bundle, runs_here)
        certificate = certify(
            engine,
            torch_backend.Reference(folder, bundle, engine.device),
            drawn,
            covers_plans=runs_here == backend,
            classify=classify,
            tick=progress,
        )
        (partial / PARITY).write_text(certificate.model_dump_json(indent=1) + "\n")
        if not certificate.passed and not allow_parity_failure:
            raise ParityError(
                f"no bundle written: it fails its parity certificate ({'; '.join(certificate.failures)}); "
                "try --precision fp32 or bf16, or write it marked as failed with --allow-parity-failure"
            )
        _record(partial, manifest.model_copy(update={"certified": certificate.passed}))
        del engine
    return read_bundle(Path(out))


def _record(folder: Path, manifest: Manifest) -> Bundle:
    write_manifest(folder, manifest)
    return read_bundle(folder)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
