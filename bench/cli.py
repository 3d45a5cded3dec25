"""The `bench` command."""

from __future__ import annotations

from typing import NoReturn

from bench.commands.builtin import builtin
from bench.commands.engine import engine
from bench.commands.roofline import roofline
from engines.errors import EngineError
from shards import console

app = console.new_app("Measure: the device, engines, sampling, shards, training, each beside its peers.")
app.command("roofline")(roofline)
app.command("builtin")(builtin)
app.command("engine")(engine)


def main() -> NoReturn:
    """Entry point."""
    console.run(app, (EngineError,))
