"""The `shards` command."""

from __future__ import annotations

from typing import NoReturn

from shards import console
from shards.commands.card import card
from shards.commands.change import purge, regenerate, repair, select
from shards.commands.make import make
from shards.commands.show import diff, info, ls, sheet, verify

app = console.new_app("Shards of images: made, looked at, verified, selected, repaired.")
for command in (make, info, ls, verify, diff, select, regenerate, purge, repair, sheet, card):
    app.command()(command)


def main() -> NoReturn:
    """Entry point."""
    console.run(app)


if __name__ == "__main__":
    main()
