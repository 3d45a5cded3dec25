"""The `bench` command."""

from __future__ import annotations

from typing import NoReturn

from bench.commands.all import all_benchmarks
from bench.commands.anchors import anchors
from bench.commands.builtin import builtin
from bench.commands.compare import compare
from bench.commands.cost import cost
from bench.commands.engine import engine
from bench.commands.headlines import headlines
from bench.commands.paper import paper
from bench.commands.plans import plans
from bench.commands.roofline import roofline
from bench.commands.sample import sample
from bench.commands.shards import shards
from bench.commands.study import study
from bench.commands.train import train
from engines.errors import EngineError
from shards import console

app = console.new_app("Measure: the device, engines, sampling, shards, training, each beside its peers.")
app.command("roofline")(roofline)
app.command("builtin")(builtin)
app.command("engine")(engine)
app.command("plans")(plans)
app.command("sample")(sample)
app.command("shards")(shards)
app.command("train")(train)
app.command("study")(study)
app.command("all")(all_benchmarks)
app.command("compare")(compare)
app.command("cost")(cost)
app.command("paper")(paper)
app.command("anchors")(anchors)
app.command("headlines")(headlines)


def main() -> NoReturn:
    """Entry point."""
    console.run(app, (EngineError,))
