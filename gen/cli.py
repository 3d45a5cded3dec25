"""The `gen` command."""

from __future__ import annotations

from typing import NoReturn

from engines.errors import EngineError
from gen.commands.build_engine import build_engine
from gen.commands.doctor import doctor
from gen.commands.finetune import finetune
from gen.commands.inspect_bundle import inspect_bundle
from gen.commands.phantoms import phantoms
from gen.commands.plan import plan
from gen.commands.sample import sample
from gen.commands.train_builtin import train_builtin
from shards import console

app = console.new_app("Fine-tune, compile and sample: from a diffusers pipeline to verified shards of images.")
app.command("build-engine")(build_engine)
app.command("plan")(plan)
app.command("sample")(sample)
app.command("inspect")(inspect_bundle)
app.command("finetune")(finetune)
app.command("phantoms")(phantoms)
app.command("train-builtin")(train_builtin)
app.command("doctor")(doctor)


def main() -> NoReturn:
    """Entry point."""
    console.run(app, (EngineError,))
