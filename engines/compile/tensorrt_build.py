"""ONNX graphs to TensorRT plans, or another model's weights into plans that are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from dermforge.common.digests import digest_file
from engines.backends.tensorrt import GRAPHS, Target, check_gpu, library, one_line, quiet_log, this_gpu
from engines.bundle import Artefact, Bundle
from engines.compile.onnx_edits import for_tensorrt
from engines.engine import TEXT_BATCH
from engines.errors import EngineError
from engines.pipeline_spec import PipelineSpec


def plan_folder(target: Target, precision: str, rows: int, size: int) -> str:
    """Where a target's plans lie in a bundle."""
    return f"plans/{target.flavour}-{target.sm}-{precision}-b{rows}-{size}"


def build_plans(
    folder: Path,
    target: Target,
    spec: PipelineSpec,
    precision: str,
    rows: int,
    vae_batch: int,
    progress: Callable[[str], None],
    *,
    refit: bool = False,
    refit_from: Bundle | None = None,
    cache: Path | None = None,
) -> list[Artefact]:
    """Compile the four graphs of a bundle's folder, each with one static profile.

    Parameters
    ----------
    refit
        Let weights be replaced later, at a cost in speed; fuse a LoRA before the export instead where possible.
    refit_from
        A bundle of a model of the same shapes, built with `refit` for this target: its plans get these graphs'
        weights, which takes seconds. It needs the GPU.
    cache
        A timing cache's file (tensorrt only); read and written.
    """
    old = refittable_plans(refit_from, target, precision, rows, spec.size) if refit_from else {}
    place = folder / plan_folder(target, precision, rows, spec.size)
    place.mkdir(parents=True, exist_ok=True)
    batches = {"text_encoder": TEXT_BATCH, "unet": rows, "vae_decoder": vae_batch, "vae_encoder": vae_batch}
    written = []
    for part, graph in GRAPHS.items():
        progress(f"{target.flavour} {target.sm} {part}")
        path = place / f"{part}.plan"
        if part in old:
            path.write_bytes(refitted(old[part], folder / graph, target))
        else:
            path.write_bytes(compile_graph(folder / graph, target, batches[part], refit=refit, cache=cache))
        written.append(
            Artefact.model_validate(
                {
                    "path": path.relative_to(folder).as_posix(),
                    "sha256": digest_file(path),
                    "bytes": path.stat().st_size,
                    "kind": "plan",
                    "component": part,
                    "backend": target.flavour,
                    "precision": precision,
                    "rows": batches[part],
                    "size": spec.size,
                    "graph_sha256": digest_file(folder / graph),
                    "target": target.sm,
                    "builder": target.builder,
                    "gpu": target.gpu,
                    "driver": target.driver,
                }
            )
        )
    return written


def compile_graph(graph: Path, target: Target, rows: int, *, refit: bool = False, cache: Path | None = None) -> bytes:
    """One graph at one static number of rows to a serialized plan.

    Raises
    ------
    EngineError
        The graph does not parse, or no kernel is found for a part of it.
    """
    trt = library(target.flavour)
    log = quiet_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(strongly_typed(trt))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(_read(graph), str(graph)):
        reasons = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise EngineError(f"{target.builder} cannot read {graph}: {one_line(reasons) or 'no ONNX model'}")
    config = builder.create_builder_config()
    config.add_optimization_profile(static_profile(builder, network, rows))
    if refit:
        config.set_flag(trt.BuilderFlag.REFIT)
    if target.flavour == "tensorrt-rtx":
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target.sm.replace("sm_", "SM")), 0)
    elif cache is not None:
        config.set_timing_cache(config.create_timing_cache(cache.read_bytes() if cache.exists() else b""), False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(
            f"{target.builder} cannot compile {graph.parent.name} for {target.sm} at {rows} rows: "
            f"{one_line('; '.join(log.errors)) or 'no reason given'}; try fewer --rows"
        )
    if cache is not None and target.flavour == "tensorrt":
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_bytes(config.get_timing_cache().serialize())
    return bytes(plan)


def static_profile(builder: Any, network: Any, rows: int) -> Any:
    """One shape of each input: a plan for many shapes is slower at each of them."""
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = tuple(rows if d == -1 else d for d in tensor.shape)
        profile.set_shape(tensor.name, shape, shape, shape)
    return profile


def refittable_plans(bundle: Bundle, target: Target, precision: str, rows: int, size: int) -> dict[str, bytes]:
    """The plans of a bundle that may get other weights: checked against what is asked for, and hashed.

    Raises
    ------
    EngineError
        They are for something else, or this machine has not the GPU that opening them takes.
    """
    plans = {str(a.component): a for a in bundle.find("plan", target.flavour)}
    unet = plans.get("unet")
    if unet is None:
        raise EngineError(f"{bundle.folder} has no {target.flavour} plans to refit: leave out --refit-from")
    wanted = {
        "precision": (unet.precision, precision),
        "rows": (unet.rows, rows),
        "size": (unet.size, size),
        "architecture": (unet.target, target.sm),
    }
    for what, (has, asked) in wanted.items():
        if has != asked:
            raise EngineError(
                f"the plans of {bundle.folder} have {what} {has}, not {asked}: ask for that, or leave out --refit-from"
            )
    check_gpu(unet, target.builder, this_gpu())
    bundle.verify(plans.values())
    return {part: bundle.path(artefact).read_bytes() for part, artefact in plans.items()}


def refitted(plan: bytes, graph: Path, target: Target) -> bytes:
    """A plan with the weights of another graph of the same shape: every weight is pushed, none may be left.

    Raises
    ------
    EngineError
        The plan was not built for it, the graph differs, or weights were left unset.
    """
    trt = library(target.flavour)
    log = quiet_log(trt)
    engine = trt.Runtime(log).deserialize_cuda_engine(plan)
    if engine is None or not engine.refittable:
        raise EngineError(f"the plan of {graph.parent.name} cannot be refitted: build it with --refit")
    refitter = trt.Refitter(engine, log)
    pushed = trt.OnnxParserRefitter(refitter, log).refit_from_bytes(_read(graph), str(graph))
    # Only combined weights count as missing for TensorRT: one that nobody pushed would silently stay the old one.
    unset = {
        *refitter.get_missing_weights(),
        *(name for name in refitter.get_all_weights() if not refitter.get_named_weights(name).size),
    }
    if not pushed or unset or not refitter.refit_cuda_engine():
        few = ", ".join(sorted(unset)[:3]) or "no names"
        raise EngineError(
            f"{len(unset)} weights of {graph.parent.name} were left unset ({few}): "
            f"{one_line('; '.join(log.errors)) or 'the models differ in shape'}; compile anew without --refit-from"
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
    """The creation flag of typed networks; newer versions know no other kind and have dropped the flag."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)
