"""`evalsuite leak`: do photographs of one lesion lie on both sides of a split?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dermforge.common.console import print_json, say, track
from dermforge.common.errors import CheckFailed
from dermforge.common.output_folder import claim


def leak(
    data: Annotated[Path, typer.Argument(help="Real images with a split: shards or a folder.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the page, table and JSON.")] = Path("leak"),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Find photographs of one lesion on two sides of a split, show them, and end with status 1 if there are any.

    Example: evalsuite leak demo/phantoms --out demo/leak
    """
    from evalsuite.images import artifacts
    from evalsuite.images.privacy.leak_report import leak_report, leak_sentence
    from evalsuite.images.privacy.reshots import find_leaks, leak_counts, open_splits
    from evalsuite.page.render import write_page

    claim(folder, "a search for leaks", ["leak.*"], ["features"])
    splits = open_splits(data)
    pairs = find_leaks(splits, folder / "features", track)
    counts = leak_counts(pairs, splits)
    artifacts.write_table(pairs, folder / "leak.csv")
    summary = {"sentence": leak_sentence(pairs), "splits": counts, "pairs": pairs}
    found = artifacts.plain(summary)
    artifacts.write_json(summary, folder / "leak.json")
    page = write_page([leak_report(pairs, counts, splits)], folder)
    if as_json:
        print_json(found)
    else:
        for row in counts.itertuples():
            say(f"{row.split:10} in {row.other_split:10} {row.leaked:5} of {row.n:6}, {row.same_class} of one class")
        say(f"{leak_sentence(pairs)} Pairs side by side: {page}; all: {folder / 'leak.csv'}")
    if len(pairs):
        raise CheckFailed(f"the split leaks: {len(pairs)} pairs across {data}; see {page}")
