"""Options that say how a model is read, the same in each command that takes one."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str | None, typer.Option(help="A diffusers pipeline folder, hub id or .safetensors file [default: built in]")
]
Variant = Annotated[
    str | None, typer.Option(help="The copy of the weights to read: fp16, ema, non_ema ... [default: the plain one]")
]
PredictionType = Annotated[
    str | None, typer.Option(help="Of a single file that does not say it: epsilon, v_prediction or sample")
]
PartsFrom = Annotated[
    str | None, typer.Option(help="A pipeline folder with what a single file lacks, or one of tokenizers")
]
