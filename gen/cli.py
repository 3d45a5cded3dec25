"""The `gen` command."""

from __future__ import annotations

from typing import NoReturn

from dermforge.common.program import Program

PROGRAM = Program(
    "Fine-tune, compile and sample: from a diffusers pipeline to verified shards of images.",
    {
        "build-engine": "gen.commands.build_engine:build_engine",
        "plan": "gen.commands.plan:plan",
        "sample": "gen.commands.sample:sample",
        "regenerate": "gen.commands.regenerate:regenerate",
        "inspect": "gen.commands.inspect_bundle:inspect_bundle",
        "attach": "gen.commands.attach:attach",
        "push": "gen.commands.push:push",
        "pull": "gen.commands.pull:pull",
        "finetune": "gen.commands.finetune:finetune",
        "distill": "gen.commands.distill:distill",
        "distill-decoder": "gen.commands.distill_decoder:distill_decoder",
        "phantoms": "gen.commands.phantoms:phantoms",
        "train-builtin": "gen.commands.train_builtin:train_builtin",
        "doctor": "gen.commands.doctor:doctor",
    },
)


def main() -> NoReturn:
    """Entry point."""
    PROGRAM.run()
