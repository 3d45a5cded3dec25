"""The `bench` command."""

from __future__ import annotations

from typing import NoReturn

from dermforge.common.program import Program

PROGRAM = Program(
    "Measure the device, engines, sampling, shards and training, each compared with its peers.",
    {
        "gpu": "bench.commands.gpu:gpu",
        "roofline": "bench.commands.roofline:roofline",
        "builtin": "bench.commands.builtin:builtin",
        "engine": "bench.commands.engine:engine",
        "engine-files": "bench.commands.engine_files:engine_files",
        "sample": "bench.commands.sample:sample",
        "shards": "bench.commands.shards:shards",
        "train": "bench.commands.train:train",
        "study": "bench.commands.study:study",
        "statistics": "bench.commands.statistics:statistics",
        "all": "bench.commands.all:all_benchmarks",
        "compare": "bench.commands.compare:compare",
        "cost": "bench.commands.cost:cost",
        "paper": "bench.commands.paper:paper",
        "audits": "bench.commands.audits:audits",
        "anchors": "bench.commands.anchors:anchors",
        "headlines": "bench.commands.headlines:headlines",
    },
)


def main() -> NoReturn:
    """Entry point."""
    PROGRAM.run()
