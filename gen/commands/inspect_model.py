"""What a model is, before anything is built of it: its family, its parts and the files of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from dermforge.common import console
from dermforge.common.errors import UserError
from dermforge.common.id_ranges import in_words

if TYPE_CHECKING:
    from engines.source import Source


def inspect_model(source: Source, json: bool) -> None:
    """Print what a pipeline folder or a single file is. Names and shapes of all weights are checked, no weight is read.

    Raises
    ------
    UserError
        The model is not usable, or says that it is drawn by a solver that is not here.
    """
    from engines.checkpoint.folder import averaged_weights, weight_files
    from engines.checkpoint.variants import other_copies
    from engines.models import families
    from engines.pipeline_spec import read_spec
    from engines.source import open_model
    from gen.diffusion.solvers import check_few_steps

    with open_model(source) as folder:
        spec = read_spec(folder)
        check_few_steps(spec)
        files = {part: [file.name for file in weight_files(folder, part).files] for part in spec.networks}
        unread = sorted({*averaged_weights(folder), *other_copies(folder, spec.networks)})
    found: dict[str, Any] = {"model": str(source.model), "weights": files, "not_read": unread}
    if json:
        console.print_json(found | {"facts": spec.model_dump(mode="json")})
        return
    contents = {
        "family": families()[spec.family].title,
        "weights": "the pipeline folder" if spec.source is None else spec.source.in_words(),
        **{part: ", ".join(names) for part, names in files.items()},
        "not read": ", ".join(unread) or "none",
        "size": f"{spec.size} px, latents {spec.latent_channels}x{spec.latent_size}x{spec.latent_size}",
        "prediction": spec.prediction_type,
        "scheduler": str(spec.scheduler["_class_name"]),
        "lineage": in_words(spec.lineage) + (", phantom" if spec.phantom else ""),
    }
    table = Table(show_header=False, title=str(source.model), title_justify="left")
    for name, value in contents.items():
        table.add_row(name, value)
    console.out.print(table)


def is_model(path: Path) -> bool:
    """Whether a path is of a pipeline folder or a file, and not of a bundle, which has a record of its own.

    Raises
    ------
    UserError
        It is none of these.
    """
    bundle, index = "bundle.json", "model_index.json"
    if (path / bundle).exists():
        return False
    if path.is_file() or (path / index).is_file():
        return True
    found = f"has neither {bundle} nor {index}" if path.is_dir() else "is not there"
    raise UserError(
        f"{path} {found}; expected an engine bundle, which `gen build-engine` makes, a pipeline folder, which "
        "save_pretrained makes, or a .safetensors file"
    )
