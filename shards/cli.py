"""The `shards` command."""

from __future__ import annotations

from typing import NoReturn

from dermforge.common.program import Program

PROGRAM = Program(
    "Make, inspect, verify, select and repair shards of images.",
    {
        "make": "shards.commands.make:make",
        "info": "shards.commands.show:info",
        "ls": "shards.commands.show:ls",
        "verify": "shards.commands.show:verify",
        "diff": "shards.commands.show:diff",
        "overlap": "shards.commands.overlap:overlap",
        "select": "shards.commands.change:select",
        "regenerate": "shards.commands.change:regenerate",
        "purge": "shards.commands.change:purge",
        "repair": "shards.commands.change:repair",
        "sign": "shards.commands.sign:sign",
        "sheet": "shards.commands.show:sheet",
        "card": "shards.commands.card:card",
        "push": "shards.commands.push:push",
        "pull": "shards.commands.pull:pull",
    },
)


def main() -> NoReturn:
    """Entry point."""
    PROGRAM.run()
