"""A pipeline folder in, a certified bundle out; a bundle that fails its certificate is not written."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from dermforge.common.whole_folder import whole_folder
from engines.backends import tensorrt, torch_compiled
from engines.backends.torch_eager import Lowered, Reference, small_batches
from engines.base_build import Judge, certify_base, export_base
from engines.base_first import BASE, paired
from engines.build_options import check_options
from engines.bundle import Bundle, claim, read_bundle, read_manifest, write_manifest, write_record
from engines.cache import cache_folder
from engines.certificate import Certificate, Classify, certify, remedies
from engines.checkpoint.skeleton import read_family
from engines.compile import fp8, torch_build
from engines.compile.batch_tuning import Timings, choose_sizes
from engines.compile.onnx_export import export
from engines.compile.tensorrt_build import build_engine_files
from engines.draw import Solve, by_diffusers
from engines.engine import Engine
from engines.errors import EngineError, ParityError
from engines.find_model import resolve
from engines.int8_weights import offered
from engines.loader import open_bundle
from engines.manifest import PARITY, PARITY_BASE, TIMINGS, CompileMode, Manifest, describe
from engines.memory import build_bytes, require
from engines.parity import Tick as Progress
from engines.pipeline_spec import DIGESTED, PipelineSpec, ValidationPrompt, model_digest, read_spec

PACKAGES = ("torch", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime")
ROWS, VAE_BATCH = 32, 8  # where batches are not tuned: an engine file has one size
CPU_ROWS = 16  # of an engine file for a CPU, one of whose cores runs it


def build(
    model: str | Path,
    out: str | Path,
    *,
    backend: str = "onnxruntime",
    precision: str = "fp32",
    target: str | None = None,
    rows: int | None = None,
    size: int | None = None,
    compile_mode: CompileMode | None = None,
    base: str | Path | None = None,
    int8_t5: bool = False,
    refit: bool = False,
    refit_from: str | Path | None = None,
    prompts: Sequence[ValidationPrompt | str] | None = None,
    allow_parity_failure: bool = False,
    overwrite: bool = False,
    classify: Classify | None = None,
    solve: Solve = by_diffusers,
    check: Callable[[PipelineSpec], None] = lambda _: None,
    progress: Progress = lambda *_: None,
) -> Bundle:
    """Build an engine bundle.

    Parameters
    ----------
    model
        A pipeline folder of a family in `engines.models`, with safetensors only; or a hub id.
    out
        The bundle's folder. A bundle of the same model is replaced whole.
    backend
        onnxruntime, tensorrt, tensorrt-rtx or torch.
    precision
        fp32, fp16, bf16, or fp8 (the UNet's large products; TensorRT on sm_89 and later).
    target
        What to compile engine files for: a GPU architecture such as sm_89 (tensorrt-rtx only; `tensorrt` compiles for
        the GPU it runs on), or cpu (torch only: this machine's).
    rows
        Batch rows of one UNet call; None to find the fastest number on this machine.
    size
        Image side in pixels; None for the model's own.
    compile_mode
        How torch compiles the bundle on CUDA, here and where it is opened: default starts soonest, autotune
        (also None) takes many minutes and runs fastest.
    base
        The pipeline that the model, a few-step student, was distilled from: its denoiser is built too, to take the
        first steps (onnxruntime, and torch without engine files).
    int8_t5
        Keep the weights of T5, the text encoder of SD 3, FLUX and PixArt, in 8 bits.
    refit
        Compile engine files whose weights can be replaced later, at a cost in speed (tensorrt backends only).
    refit_from
        A bundle of another model of the same shapes, built with `refit`: its engine files get this model's weights.
    prompts
        What the certificate draws and fp8 is calibrated on; None for the model's validation prompts.
    allow_parity_failure
        Write a bundle that fails its certificate, marked as failed.
    overwrite
        Replace a bundle of another model.
    classify
        uint8 images [n, H, W, 3] -> labels [n], to count the labels that change per group.
    solve
        The steps by which the engine is going to draw, which the certificate draws by; by default those of diffusers.
    check
        Called with what the bundle is going to say of its pipeline, before any work; it raises what it refuses.
    progress
        Called with the name of each step as it starts, and as a long one gets on.

    Raises
    ------
    UserError, EngineError
        The model, an option or the machine is not usable, or the folder is not to be replaced. Nothing is left on
        disk.
    ParityError
        The certificate failed. Nothing is left on disk.
    """
    gpu = check_options(
        backend, precision, target, rows, compile_mode, refit or refit_from is not None, base is not None
    )
    old = read_bundle(Path(refit_from)) if refit_from else None
    folder = resolve(model)
    spec, digest = read_spec(folder, size), model_digest(folder)
    int8 = offered(folder) if int8_t5 else ()
    teacher = None if base is None else resolve(base)
    pair = None
    if teacher is not None:
        spec, pair = paired(folder, spec, teacher, size)
    check(spec)
    claim(Path(out), digest, overwrite)
    needed = build_bytes(folder, precision)
    require(needed, f"building {folder.name} in {precision}")
    progress(f"building {folder.name} in {precision}, with about {needed / 1e9:.1f} GB of memory")
    drawn = [ValidationPrompt(prompt=p) if isinstance(p, str) else p for p in prompts or spec.validation_prompts]
    drawn = drawn or [ValidationPrompt(prompt=p) for p in ("a photo", "skin", "an image of a lesion", "")]
    manifest = Manifest.model_validate(
        {
            "backend": backend,
            "precision": precision,
            "model_digest": digest,
            "facts": spec,
            "rows": rows or (CPU_ROWS if target == "cpu" else ROWS),
            "vae_batch": VAE_BATCH,
            "compile_mode": compile_mode,
            "base": pair,
            "int8": int8,
            "certified": False,
            "versions": _versions(),
            "artefacts": [],
        }
    )
    job = _job(manifest, gpu, refit, old) if backend != "torch" and precision != "fp8" else None
    timings: Timings | None = None
    with whole_folder(Path(out), job) as partial:
        bundle = _exported(folder, teacher, partial, manifest, progress)
        if precision == "fp8":
            progress("fp8 calibration")
            fp8.lower_unet(bundle, [p.prompt for p in drawn])
            bundle = _changed(bundle, artefacts=describe(partial))
        if gpu:
            cache = timing_cache(gpu) if backend == "tensorrt" else None
            files = build_engine_files(bundle, gpu, progress, refit=refit or bool(old), refit_from=old, cache=cache)
            bundle = _changed(bundle, artefacts=[*bundle.manifest.artefacts, *files])
        elif target:
            files = torch_build.compile_for_cpu(bundle, progress)
            bundle = _changed(bundle, artefacts=[*bundle.manifest.artefacts, *files])
            sizes = [torch_compiled.static_rows(bundle)], [bundle.manifest.vae_batch]
            timings = choose_sizes(bundle, backend, *sizes)
        elif rows is None:
            progress("batch tuning")
            timings = choose_sizes(bundle, backend)
            bundle = _changed(bundle, rows=timings.rows, vae_batch=timings.vae_batch)
        judge = functools.partial(certify, prompts=drawn, classify=classify, solve=solve, tick=progress)
        certificates = {PARITY: _certify(bundle, folder, judge)}
        if teacher is not None:
            progress("the base")
            certificates[PARITY_BASE] = certify_base(bundle, teacher, judge)
        failures = [why for certificate in certificates.values() for why in certificate.failures]
        if failures and not allow_parity_failure:
            raise ParityError(
                f"no bundle written: it fails its parity certificate ({'; '.join(failures)}); "
                f"{remedies(certificates.values(), spec)}, or set `allow_parity_failure` to write it marked as failed"
            )
        if model_digest(folder) != digest:
            raise EngineError(f"no bundle written: files in {folder} were changed while it was built; build it again")
        bundle = _changed(bundle, certified=not failures)
        for name, certificate in certificates.items():
            write_record(bundle, name, certificate)
        if timings is not None:
            write_record(bundle, TIMINGS, timings)
        read_bundle(partial)  # refuses what is not listed
    return read_bundle(Path(out))


def _job(manifest: Manifest, gpu: tensorrt.GpuTarget | None, refit: bool, old: Bundle | None) -> str:
    """A digest of what the parts of a bundle depend on: a build that was stopped is resumed by an equal one only."""
    parts = [manifest.model_dump_json(), gpu, refit, None if old is None else old.digest]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _exported(model: Path, base: Path | None, out: Path, manifest: Manifest, progress: Progress) -> Bundle:
    """The bundle's tokenizer, scheduler, graphs or torch weights, and manifest, written into a folder."""
    for part in (*manifest.spec.tokens, "scheduler"):
        (out / part).mkdir(exist_ok=True)
        for path in sorted((model / part).iterdir()):
            if path.suffix in DIGESTED and path.is_file():
                shutil.copyfile(path, out / part / path.name)
    write_index(model, out)
    if manifest.backend == "torch":
        progress("weights")
        torch_build.copy_weights(model, out, manifest.precision, int8=manifest.int8)
    else:
        export(model, out, manifest.spec, manifest.precision, progress, manifest.int8)
    if base is not None:
        export_base(base, out / BASE, manifest, progress)
    kept = [file for file in describe(out) if file.kind != "plan"]  # those of a build that was stopped come later
    return _changed(Bundle(out, manifest, ""), artefacts=kept)


def write_index(model: Path, out: Path) -> None:
    """Write `model_index.json` without the parts that a bundle leaves out (a safety checker, a feature extractor).

    Whatever loads the bundle as a pipeline would look for them otherwise.
    """
    index = json.loads((model / "model_index.json").read_text())
    family = read_family(model)
    for name, value in index.items():
        if isinstance(value, list) and name not in (*family.parts, *family.tokenizers, "scheduler"):
            index[name] = [None, None]
    if "requires_safety_checker" in family.index.without_influence:
        index["requires_safety_checker"] = False
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def timing_cache(target: tensorrt.GpuTarget) -> Path:
    """TensorRT's timings, kept for each architecture and version: a second build takes a tenth of the time."""
    return cache_folder() / f"{target.builder.replace(' ', '-')}-{target.sm}.timings"


def _certify(bundle: Bundle, model: Path, judge: Judge) -> Certificate:
    """Certify what can run here: the bundle's own backend, or the graphs that its engine files were compiled from."""
    backend = bundle.manifest.backend
    own = not backend.startswith("tensorrt") or tensorrt.can_run(bundle)
    engine: Engine
    if own:
        engine = open_bundle(bundle)
    elif bundle.manifest.precision == "bf16":  # torch has bf16 convolutions for a CPU, ONNX Runtime has none
        engine = Lowered(model, bundle)
    else:
        graphs = small_batches(bundle, torch.device("cpu"))
        engine = open_bundle(graphs, "onnxruntime")
    reference = Reference(model, bundle, engine.device)
    return judge(engine, reference, covers_engine_files=own)


def _changed(bundle: Bundle, **values: object) -> Bundle:
    """The bundle with other values in its manifest, written and read again."""
    write_manifest(bundle.folder, bundle.manifest.model_copy(update=values))
    return read_manifest(bundle.folder)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
