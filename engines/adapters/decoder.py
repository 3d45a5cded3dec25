"""A pipeline folder with a small decoder beside its parts: a private one, from which a build goes on as from any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dermforge.common import id_ranges
from dermforge.common.digests import digest_file
from engines.adapters.folder import link_parts
from engines.checkpoint.folder import weight_files
from engines.checkpoint.skeleton import empty_pipeline
from engines.errors import EngineError
from engines.facts import read_facts, write_facts
from engines.find_model import resolve
from engines.models.tiny import SMALL
from engines.pipeline_spec import Adapter, model_digest
from engines.private_copy import derived_folder
from engines.small_decoder import check_small_decoder

WEIGHTS = "diffusion_pytorch_model.safetensors"


@contextmanager
def with_decoder(model: str | Path, decoder: Path | None) -> Iterator[Path]:
    """A pipeline folder that decodes by a small decoder.

    It lies where temporary files do (`TMPDIR`), holds links, and is removed in the end. Its `dermforge.json` is that of
    the model with the decoder's digest and with the images that the decoder saw; of one that does not say which, that
    nobody recorded them.

    Parameters
    ----------
    model
        A pipeline folder or hub id, which is given back as it is where there is no decoder.
    decoder
        A folder that diffusers' `AutoencoderTiny` opens.

    Raises
    ------
    EngineError
        The model or the decoder is not usable, or they do not fit.
    """
    base = resolve(model)
    if decoder is None:
        yield base
        return
    if not (decoder / "config.json").is_file():
        raise EngineError(
            f"no decoder at {decoder}: expected a folder with config.json and {WEIGHTS}, as `gen distill-decoder` and "
            "AutoencoderTiny.save_pretrained write it"
        )
    model_digest(base)  # refuses folders that were changed after they were written: their digests do not go with them
    model_digest(decoder)
    with derived_folder(base, base.resolve().name) as folder:
        link_parts(base, folder)
        (folder / SMALL).unlink(missing_ok=True)
        (folder / SMALL).symlink_to(decoder.resolve(), target_is_directory=True)
        pipeline = empty_pipeline(folder)
        check_small_decoder(folder, pipeline.vae.config, pipeline.vae_scale_factor)
        facts = read_facts(base)
        facts.pop("files", None)
        write_facts(folder, _joined(facts, decoder.resolve()))
        yield folder


def _joined(facts: dict[str, Any], decoder: Path) -> dict[str, Any]:
    """What is known of the pipeline with the decoder: facts of both; another decoder that it had before is gone."""
    digest = digest_file(weight_files(decoder.parent, decoder.name).files[0])
    fact = Adapter(file=decoder.name, sha256=digest, kind="decoder").model_dump()
    own = read_facts(decoder)
    unknown = [id_ranges.unrecorded(f"{decoder.name} sha256 {digest[:16]}")]
    lineage = [*facts.get("lineage", []), *own.get("lineage", unknown)]
    return facts | {
        "adapters": [*(one for one in facts.get("adapters", []) if one.get("kind") != "decoder"), fact],
        "lineage": list(dict.fromkeys(lineage)),
        "phantom": bool(facts.get("phantom")) or own.get("phantom") is True,
    }
