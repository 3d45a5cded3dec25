"""The base of a bundle with two denoisers: its export and its certificate. See `engines.base_first`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engines.backends.torch_eager import Reference
from engines.base_first import of_base
from engines.bundle import Bundle
from engines.certificate import Certificate
from engines.checkpoint.folder import read_json
from engines.checkpoint.skeleton import INDEX, read_family
from engines.compile import torch_build
from engines.compile.onnx_export import export_denoiser
from engines.engine import Engine
from engines.loader import open_bundle
from engines.manifest import Manifest
from engines.parity import Tick as Progress
from engines.pipeline_spec import read_spec

#: An engine and its reference -> its certificate: `certify`, with all else that a build was told.
Judge = Callable[..., Certificate]


def export_base(model: Path, out: Path, manifest: Manifest, progress: Progress) -> None:
    """The base's denoiser, in the layout of a pipeline folder that has no other part."""
    progress("the base's denoiser")
    out.mkdir(exist_ok=True)
    index = {"_class_name": read_json(model / INDEX)["_class_name"]}
    (out / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    part = read_family(model).denoiser
    if manifest.backend == "torch":
        torch_build.copy_weights(model, out, manifest.precision, [part])
    else:
        export_denoiser(model, out, read_spec(model, manifest.spec.size), manifest.precision, progress)


def certify_base(bundle: Bundle, model: Path, judge: Judge) -> Certificate:
    """The certificate of the base: the same parts with its denoiser, compared with its own folder."""
    engine = open_bundle(bundle).base
    assert isinstance(engine, Engine)
    here = of_base(bundle)
    theirs = here.manifest.model_copy(update={"spec": read_spec(model, bundle.manifest.spec.size)})
    reference = Reference(model, replace(here, manifest=theirs), engine.device)
    return judge(engine, reference)
