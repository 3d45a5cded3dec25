"""ONNX graphs to TensorRT engine files, or another model's weights into engine files that are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from dermforge.common import finished_parts
from dermforge.common.atomic import write_whole
from dermforge.common.digests import digest_file
from engines.backends.tensorrt import GpuTarget, check_gpu, library, one_line, quiet_log, this_gpu
from engines.bundle import Bundle
from engines.calls import TEXT_BATCH
from engines.compile.onnx_edits import for_tensorrt
from engines.errors import EngineError
from engines.manifest import Artefact, Manifest, describe_file, graphs
from engines.memory import give_back


def build_engine_files(
    bundle: Bundle,
    target: GpuTarget,
    progress: Callable[[str], None],
    *,
    refit: bool = False,
    refit_from: Bundle | None = None,
    cache: Path | None = None,
) -> list[Artefact]:
    """Compile the four graphs of a bundle that is being written, each for one static batch.

    Parameters
    ----------
    refit
        Let weights be replaced later, at a cost in speed; fuse a LoRA before the export instead where possible.
    refit_from
        A bundle of a model of the same shapes, built with `refit` for this target: its engine files get these graphs'
        weights, which takes seconds. It needs the GPU.
    cache
        The file of a timing cache (tensorrt only), which is read and written.
    """
    manifest = bundle.manifest
    old = refittable(refit_from, manifest, target) if refit_from else {}
    name = f"{target.flavour}-{target.sm}-{manifest.precision}-b{manifest.rows}-{manifest.spec.size}"
    place = bundle.folder / "plans" / name
    place.mkdir(parents=True, exist_ok=True)
    images = manifest.vae_batch
    batches = dict.fromkeys(manifest.spec.text_encoders, TEXT_BATCH) | {manifest.spec.denoiser: manifest.rows}
    batches |= {"vae_decoder": images, "vae_encoder": images}
    written = []
    for part, name in graphs(manifest.spec).items():
        progress(f"{target.flavour} {target.sm} {part}")
        path, graph = place / f"{part}.plan", bundle.folder / name
        if finished_parts.holds(bundle.folder, str(path.relative_to(bundle.folder))):
            progress(f"{target.flavour} {target.sm} {part}: kept from the build that was stopped")
        elif part in old:
            write_whole(path, refitted(old[part], graph, target), fsync=False)
        else:
            write_whole(path, compile_graph(graph, target, batches[part], refit=refit, cache=cache), fsync=False)
        finished_parts.note(bundle.folder, str(path.relative_to(bundle.folder)))
        give_back()
        written.append(
            describe_file(bundle.folder, path).model_copy(
                update={
                    "component": part,
                    "backend": target.flavour,
                    "precision": manifest.precision,
                    "rows": batches[part],
                    "size": manifest.spec.size,
                    "graph_sha256": digest_file(graph),
                    "target": target.sm,
                    "builder": target.builder,
                    "gpu": target.gpu,
                    "driver": target.driver,
                }
            )
        )
    return written


def compile_graph(
    graph: Path, target: GpuTarget, rows: int, *, refit: bool = False, cache: Path | None = None
) -> memoryview:
    """Compile one graph for one static number of batch rows to the bytes of an engine file.

    Raises
    ------
    EngineError
        TensorRT cannot parse the graph, or finds no kernel for a part of it.
    """
    trt = library(target.flavour)
    log = quiet_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(strongly_typed(trt))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(_read(graph), str(graph)):
        reasons = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise EngineError(f"{target.builder} cannot read {graph}: {one_line(reasons) or 'no ONNX model'}")
    _let_attention_decompose(trt, network)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # on unless it is cleared; float32 means all 24 bits here
    config.add_optimization_profile(static_profile(builder, network, rows))
    if refit:
        config.set_flag(trt.BuilderFlag.REFIT)
    if target.flavour == "tensorrt-rtx":
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target.sm.replace("sm_", "SM")), 0)
    elif cache is not None:
        config.set_timing_cache(config.create_timing_cache(cache.read_bytes() if cache.exists() else b""), False)
    compiled = builder.build_serialized_network(network, config)
    if compiled is None:
        raise EngineError(
            f"{target.builder} cannot compile {graph.parent.name} for {target.sm} at {rows} rows: "
            f"{one_line('; '.join(log.errors)) or 'no reason given'}; try fewer rows"
        )
    if cache is not None and target.flavour == "tensorrt":
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_bytes(config.get_timing_cache().serialize())
    return memoryview(compiled)  # not a copy: an engine file takes gigabytes


def _let_attention_decompose(trt: Any, network: Any) -> None:
    """Let an attention run in several kernels where the GPU has no fused one: in float32, or with heads of 8 numbers.

    The library refuses those otherwise. Where a fused kernel is there it is taken as before.
    """
    if not hasattr(trt, "IAttentionInputLayer"):  # before TensorRT 10.14, which has no such layers
        return
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        if layer.type == trt.LayerType.ATTENTION_INPUT:
            layer.__class__ = trt.IAttentionInputLayer
            layer.attention.decomposable = True


def static_profile(builder: Any, network: Any, rows: int) -> Any:
    """One shape of each input: an engine file for many shapes is slower at each of them."""
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = tuple(rows if d == -1 else d for d in tensor.shape)
        profile.set_shape(tensor.name, shape, shape, shape)
    return profile


def refittable(old: Bundle, new: Manifest, target: GpuTarget) -> dict[str, bytes]:
    """The engine files of a bundle that can get another model's weights, checked against that model and hashed.

    Raises
    ------
    EngineError
        They are for something else, or this machine lacks the GPU that is needed to open them.
    """
    files = old.engine_files(target.flavour)
    unet = files.get(new.spec.denoiser)
    if unet is None:
        raise EngineError(f"{old.folder} has no {target.flavour} engine files to refit: build without `refit_from`")
    wanted = {
        "precision": (unet.precision, new.precision),
        "rows": (unet.rows, new.rows),
        "size": (unet.size, new.spec.size),
        "architecture": (unet.target, target.sm),
        "weights in 8 bits": (", ".join(old.manifest.int8) or "none", ", ".join(new.int8) or "none"),
    }
    for what, (has, asked) in wanted.items():
        if has != asked:
            raise EngineError(
                f"the engine files of {old.folder} have {what} {has}, not {asked}: "
                "ask for that, or build without `refit_from`"
            )
    check_gpu(unet, target.builder, this_gpu())
    return {part: old.read(file) for part, file in files.items()}


def refitted(compiled: bytes, graph: Path, target: GpuTarget) -> bytes:
    """An engine file with all of its weights replaced by those of another graph of the same shape.

    Raises
    ------
    EngineError
        The engine file was not built to be refitted, the graph differs, or weights were left unset.
    """
    trt = library(target.flavour)
    log = quiet_log(trt)
    engine = trt.Runtime(log).deserialize_cuda_engine(compiled)
    if engine is None or not engine.refittable:
        raise EngineError(f"the engine file of {graph.parent.name} cannot be refitted: build it with refit")
    refitter = trt.Refitter(engine, log)
    pushed = trt.OnnxParserRefitter(refitter, log).refit_from_bytes(_read(graph), str(graph))
    # TensorRT reports combined weights only as missing: another one that nobody set would keep its old value.
    unset = {
        *refitter.get_missing_weights(),
        *(name for name in refitter.get_all_weights() if not refitter.get_named_weights(name).size),
    }
    if not pushed or unset or not refitter.refit_cuda_engine():
        few = ", ".join(sorted(unset)[:3]) or "no names"
        raise EngineError(
            f"{len(unset)} weights of {graph.parent.name} were left unset ({few}): "
            f"{one_line('; '.join(log.errors)) or 'the models differ in shape'}; build without `refit_from`"
        )
    config = engine.create_serialization_config()
    config.clear_flag(trt.SerializationFlag.EXCLUDE_WEIGHTS)
    config.set_flag(trt.SerializationFlag.INCLUDE_REFIT)
    return bytes(engine.serialize_with_config(config))


def _read(graph: Path) -> bytes:
    try:
        return for_tensorrt(graph)
    except DecodeError as error:
        raise EngineError(f"cannot read {graph}: no ONNX model ({one_line(str(error))})") from error


def strongly_typed(trt: Any) -> int:
    """The creation flag of strongly typed networks. Newer versions have no other kind and no flag."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)
