"""A bundle with two denoisers: a few-step student's, and that of its teacher, the base, for the first steps.

The base keeps the variety that distillation narrows, lost in the first step (arXiv 2503.10637). All other parts
are the student's, and must be the base's as well. The base's denoiser lies in `base/`, in the layout of any bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from engines.bundle import Bundle
from engines.calls import Calls
from engines.checkpoint.folder import weight_files
from engines.checkpoint.safetensors_file import open_safetensors
from engines.checkpoint.scheduler import own_scheduler
from engines.checkpoint.skeleton import tokenizers_of
from engines.checkpoint.tokenizer import open_tokenizer
from engines.checkpoint.weights import own_names
from engines.engine import Engine
from engines.errors import EngineError
from engines.manifest import BaseDenoiser
from engines.models import families
from engines.pipeline_spec import FewSteps, PipelineSpec, file_digests, model_digest, read_spec

#: The folder of the base's denoiser in a bundle.
BASE = "base"
#: Of a student that says nothing of itself, such as one that a ready-made LCM-LoRA makes.
USUAL = FewSteps(solver="lcm", steps=4, guidance=1.0)
SAME = ("family", "size", "latent_channels", "unet_in_channels", "scaling_factor", "shift_factor", "tokens")


def paired(student: Path, spec: PipelineSpec, base: Path, size: int | None) -> tuple[PipelineSpec, BaseDenoiser]:
    """The student's numbers in a bundle with its base, and what the bundle says of the base.

    Raises
    ------
    EngineError
        They are of different shapes, differ in another part than the denoiser, or have the same denoiser.
    """
    if families()[spec.family].flow:
        others = ", ".join(family.title for family in families().values() if not family.flow)
        raise EngineError(
            f"{student} is of {families()[spec.family].title}, which was trained by flow matching: a base takes the "
            f"first steps of others only ({others}); build the student alone, without `few_steps`"
        )
    theirs = read_spec(base, size)
    for name in SAME:
        if (ours := getattr(spec, name)) != getattr(theirs, name):
            raise EngineError(
                f"{student} and {base} differ in {name} ({ours} and {getattr(theirs, name)}): a student goes with the "
                "pipeline that it was distilled from"
            )
    if not torch.allclose(*(own_scheduler(one.scheduler).alphas_cumprod for one in (spec, theirs))):
        raise EngineError(f"{student} and {base} differ in the noise schedule: their steps do not follow each other")
    parts = [part for part in spec.networks if part != spec.denoiser]
    if strange := [part for part in parts if not _equal_weights(student, base, part)]:
        raise EngineError(_differ(student, spec, base, theirs, strange))
    if _equal_weights(student, base, spec.denoiser):
        raise EngineError(
            f"{student} is no student of {base}: they have the same {spec.denoiser}, which would take the first steps "
            "of itself; give what was distilled from it (`gen distill`), or an adapter of few steps. A folder is taken "
            "for a student wherever its denoiser is another, also where it says nothing of few steps"
        )
    for name in tokenizers_of(student):
        if open_tokenizer(student, name).get_vocab() != open_tokenizer(base, name).get_vocab():
            raise EngineError(f"{student} and {base} differ in {name}: a bundle of both shares all but the denoiser")
    lineage = list(dict.fromkeys([*theirs.lineage, *spec.lineage]))
    shared = {"lineage": lineage, "phantom": spec.phantom or theirs.phantom, "few_steps": spec.few_steps or USUAL}
    if spec.guidance == "classifier-free":
        shared["guidance"] = "none"
    here = theirs.model_copy(update={"denoiser": f"{BASE}/{theirs.denoiser}"})
    return spec.model_copy(update=shared), BaseDenoiser(facts=here, model_digest=model_digest(base))


def _differ(student: Path, spec: PipelineSpec, base: Path, theirs: PipelineSpec, parts: Sequence[str]) -> str:
    """Why a student is refused that differs in other parts too: by its own weights, or by those of an adapter."""
    shares = "a bundle of both shares all parts but the denoiser"
    if added := [one.file for one in spec.adapters if one not in theirs.adapters and one.kind == "lora"]:
        return (
            f"{', '.join(added)} changes {', '.join(parts)} of {base} beside its {spec.denoiser}, and {shares}: give "
            f"an adapter of the {spec.denoiser} alone, or fuse this one into the model and build that without a student"
        )
    return f"{student} and {base} differ in {', '.join(parts)}: {shares}"


def of_base(bundle: Bundle) -> Bundle:
    """The same bundle as a pipeline with the base's denoiser and numbers.

    Raises
    ------
    EngineError
        It has none.
    """
    base = bundle.manifest.base
    if base is None:
        raise EngineError(f"{bundle.folder} has no base: build it with its student's base")
    own = {"spec": base.spec, "model_digest": base.model_digest, "base": None}
    return replace(bundle, manifest=bundle.manifest.model_copy(update=own))


def with_base(engine: Engine, own: Calls) -> Engine:
    """Give an engine its base: the same parts with another denoiser, which `own` calls."""
    calls, bundle = engine.calls, of_base(engine.bundle)
    opened = (*calls.opened, *(call for call in own.opened if call is own.denoise))
    engine.calls = replace(calls, opened=opened)
    shared = replace(calls, denoise=own.denoise, recordable=own.recordable, opened=opened)
    engine.base = Engine(bundle, engine.backend, engine.rows, shared)
    return engine


def _equal_weights(student: Path, base: Path, part: str) -> bool:
    """Whether a part has the same weights in both folders, however they are stored."""
    files = [
        {name: digest for name, digest in file_digests(folder).items() if name.startswith(f"{part}/")}
        for folder in (student, base)
    ]
    if files[0] == files[1]:
        return True
    with ExitStack() as stack:
        ours, theirs = (_weights(folder, part, stack) for folder in (student, base))
        return ours.keys() == theirs.keys() and all(
            torch.equal(read().float(), theirs[name]().float()) for name, read in ours.items()
        )


def _weights(folder: Path, part: str, stack: ExitStack) -> dict[str, Callable[[], torch.Tensor]]:
    """What reads each weight of a part, by the network's own name: two denoisers need not fit into memory."""
    found: dict[str, Callable[[], torch.Tensor]] = {}
    for path in weight_files(folder, part).files:
        file = stack.enter_context(open_safetensors(path))
        found |= {own: partial(file.get_tensor, name) for name, own in own_names(path.parent, file.keys()).items()}
    return found
