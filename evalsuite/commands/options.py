"""Options of the classifier, which several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

WEIGHTS = (
    "auto (pretrained where the hub can be reached or they are cached, else scratch), hub, scratch, or a .safetensors "
    "file."
)
Model = Annotated[str, typer.Option(help="The classifier: any timm model.")]
Weights = Annotated[str, typer.Option(help=WEIGHTS)]
Size = Annotated[int, typer.Option(help="Side in pixels of the images that the classifier sees.")]
Steps = Annotated[int | None, typer.Option(help="Optimiser steps. [default: 500; from scratch 1000]", min=1)]
Rate = Annotated[
    float | None,
    typer.Option(help="Largest learning rate. [default: 3e-4; from scratch or for a head 1e-3; on features 1e-2]"),
]
