"""`shards make`: import real images."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dermforge.common import console
from dermforge.common.errors import DataWarning, UserError
from dermforge.common.unused_options import used_only
from shards.commands.conditions import Json, names_of
from shards.ingest.near import NEAR
from shards.storage.location import is_url

if TYPE_CHECKING:
    from shards.ingest.files.found import Inventory
    from shards.ingest.importing import Labels
    from shards.ingest.write.make_report import MakeReport
    from shards.ingest.write.make_synthetic import Generator


@used_only("with --format jpg or webp", lambda given: given["image_format"] in ("jpg", "webp"), "quality")
@used_only("with --origin real", lambda given: given["origin"] != "synthetic", "split", "seed", "near", "hash_ids")
def make(
    source: Annotated[Path, typer.Argument(help="Images with a table, class folders, webdataset or Hugging Face.")],
    out: Annotated[str, typer.Option(help="Folder or s3:// address; it gets train/, validation/ and test/.")],
    table: Annotated[Path | None, typer.Option(help="CSV, Excel, parquet, JSON Lines [default: in the folder]")] = None,
    preset: Annotated[
        str | None, typer.Option(help="A public data set, such as ham10000; a wrong name lists them.")
    ] = None,
    file_column: Annotated[str | None, typer.Option(help="Column with file names.")] = None,
    class_column: Annotated[str | None, typer.Option(help="Column with classes.")] = None,
    group_column: Annotated[str | None, typer.Option(help="Column with skin types.")] = None,
    cluster_column: Annotated[str | None, typer.Option(help="Column with patients.")] = None,
    onehot: Annotated[str | None, typer.Option(help="Columns of 0 and 1 that are the classes, A,B,C.")] = None,
    join: Annotated[list[str] | None, typer.Option(help="TABLE:KEY: columns of another table; repeatable.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE or COLUMN!=VALUE; repeatable.")] = None,
    exclude: Annotated[Path | None, typer.Option(help="List or table of images to leave out.")] = None,
    split: Annotated[str, typer.Option(help="Shares of train, validation and test.")] = "0.7,0.1,0.2",
    seed: Annotated[int, typer.Option(help="Seed of the split.", min=0)] = 0,
    size: Annotated[
        int | None, typer.Option(help="Reduce the shorter edge to so many pixels.", min=8, max=4096)
    ] = None,
    image_format: Annotated[str, typer.Option("--format", help="Codec of all images: png, jpg or webp.")] = "png",
    quality: Annotated[int, typer.Option(help="Quality of jpg and webp.", min=1, max=100)] = 95,
    near: Annotated[int, typer.Option(help="Bits of 256 in which near duplicates may differ.", min=0, max=128)] = NEAR,
    shard_size: Annotated[int, typer.Option(help="Images per shard.", min=1)] = 1000,
    origin: Annotated[str, typer.Option(help="real; or synthetic: another generator's images.")] = "real",
    generator: Annotated[str | None, typer.Option(help="Name of the generator of synthetic images.")] = None,
    lineage: Annotated[
        str | None, typer.Option(help="Real images it was trained on: table, list or shards; or none.")
    ] = None,
    hash_ids: Annotated[
        Path | None, typer.Option(help="Private folder of a key and of names: ids become digests.")
    ] = None,
    by_folders: Annotated[
        bool, typer.Option("--by-folders", help="Folders name the classes; no table is read.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Import the images that are there, however many rows have none.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check, deduplicate, split and write real images.

    _dropped.csv lists the images that were left out, and _passed_over.csv the other files, each with the reason.

    At the end it says what the numbers allow: the filter, study sizes, verdicts by skin type. Where they do not
    suffice, it proposes another split. Take it before a generator is tuned: afterwards a new split would leak.

    Use the codec of the synthetic images that you will mix in (gen writes png by default). Otherwise a classifier can
    tell real from synthetic images by the codec.

    --hash-ids makes ids and patients keyed digests, which models and images made from this set then carry instead of
    the names of files. Its folder gets the key, names.csv and the lists; keep it, and publish it never.

    --origin synthetic makes one synthetic set of the images of any generator, for evalsuite tone, quality, privacy, run
    and study. --lineage names the images that it was trained on, so that a leak between them and test images is found.

    Example: shards make photos --table photos.csv --out data --size 512
    """
    from shards.commands.allowed import advice, allowed
    from shards.ingest.importing import LEAST_FOUND, Labels
    from shards.ingest.write.encode import Encoding
    from shards.ingest.write.hidden_names import open_hidden
    from shards.ingest.write.make import Splitting
    from shards.ingest.write.make import make as write
    from shards.ingest.write.make_synthetic import make_synthetic
    from shards.ingest.write.what_numbers_allow import count, propose, read_rows

    if image_format not in ("png", "jpg", "webp"):
        raise UserError(f"--format {image_format!r}; expected png, jpg or webp")
    named = {"file": file_column, "class": class_column, "group": group_column, "cluster": cluster_column}
    labels = Labels(
        table,
        preset,
        {ours: name for ours, name in named.items() if name},
        tuple(onehot.split(",")) if onehot else (),
        tuple(join or ()),
        tuple(where or ()),
        names_of(exclude) if exclude else (),
        by_folders,
        0 if allow_missing else LEAST_FOUND,
        synthetic=origin == "synthetic",
    )
    made_by = _generator(origin, generator, lineage)
    found = _find(source, labels)
    splitting, encoding = Splitting(_shares(split), seed, near), Encoding(size, image_format, quality)
    if made_by:
        made = make_synthetic(found, out, made_by, encoding, shard_size=shard_size, track=console.track)
        if as_json:
            console.print_json(vars(made))
        else:
            _say(made, out, out)
        return
    hidden = open_hidden(hash_ids, out) if hash_ids else None
    made = write(found, out, splitting, encoding, shard_size=shard_size, hidden=hidden, track=console.track)
    rows = read_rows(out, made.written)
    numbers, better = count(rows), None if made.named else propose(rows, seed)
    if as_json:
        console.print_json(vars(made) | {"allows": numbers.record(), "proposal": better and better.record()})
        return
    _say(made, out, hash_ids or out)
    for line in (*allowed(numbers), *advice(rows, numbers, better, named=bool(made.named))):
        console.say(line)


def _say(made: MakeReport, out: str, lists: str | Path) -> None:
    parts = ", ".join(f"{n} {name}" for name, n in made.written.items())
    console.say(
        f"{out}: {parts}; {len(made.dropped)} dropped (see {lists}/_dropped.csv), {len(made.passed_over)} "
        f"files passed over (see {lists}/_passed_over.csv), {made.near_duplicates} pairs of near "
        f"duplicates, {made.clusters} clusters"
    )
    for note in made.notes:
        warnings.warn(note, DataWarning, stacklevel=2)


def _generator(origin: str, name: str | None, lineage: str | None) -> Generator | None:
    """What made synthetic images; None for real ones."""
    from shards.ingest.write.make_synthetic import Generator, lineage_ids

    if origin not in ("real", "synthetic"):
        raise UserError(f"--origin {origin!r}; expected real or synthetic")
    if origin == "real":
        if name or lineage:
            raise UserError("--generator and --lineage are of synthetic images; give --origin synthetic as well")
        return None
    if not name or not lineage:
        raise UserError(
            "--origin synthetic needs --generator NAME and --lineage: a table, a list or shards of the real images "
            "that it was trained on, or none if they are none of yours"
        )
    if lineage == "none":
        return Generator(name, ())
    if is_url(lineage) or Path(lineage).is_dir():
        from shards.ingest.folder import open_data

        return Generator(name, tuple(open_data(lineage).rows["id"]))
    return Generator(name, lineage_ids(names_of(Path(lineage))))


def _find(source: Path, labels: Labels) -> Inventory:
    """What the source holds; errors name the options that answer them."""
    from shards.ingest.importing import find
    from shards.ingest.tables.by_table import ImagesMissing
    from shards.ingest.tables.find_table import TableNotUnderstood

    try:
        return find(source, labels)
    except TableNotUnderstood as error:
        options = "--file-column, --class-column, --group-column and --cluster-column, --table or --preset"
        raise UserError(f"{error}: with {options}; --by-folders takes the classes from the folders") from error
    except ImagesMissing as error:
        raise UserError(f"{error} with --allow-missing") from error


def _shares(text: str) -> dict[str, float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 3 or min(values) < 0 or not sum(values):
        raise UserError(f"--split {text!r}; expected three shares, such as 0.7,0.1,0.2")
    return {name: v for name, v in zip(("train", "validation", "test"), values, strict=True) if v}
