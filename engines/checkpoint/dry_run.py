"""The networks of a pipeline run once on shapes alone: some settings are refused only when a network is used."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from engines.checkpoint.folder import reason
from engines.conditioning import Conditioning, empty
from engines.errors import EngineError
from engines.models import families
from engines.models.family import Family
from engines.pipeline_spec import PipelineSpec
from engines.silence import quiet


def try_networks(folder: Path, networks: Mapping[str, Any], spec: PipelineSpec) -> None:
    """Draw one image without values: no weight is read, and nothing is computed but shapes.

    Parameters
    ----------
    networks
        By part, as `empty_pipeline` makes them.

    Raises
    ------
    EngineError
        A network does not run, or gives another shape than the next one takes: names it.
    """
    family, side = families()[spec.family], spec.latent_size
    latents, image = (1, spec.latent_channels, side, side), (1, 3, spec.size, spec.size)
    outputs: dict[str, dict[str, torch.Tensor]] = {}

    def decoded(vae: Any) -> tuple[int, ...]:
        mean = vae.encode(torch.zeros(image)).latent_dist.mean
        return tuple(vae.decode(mean, return_dict=False)[0].shape)

    def predicted(denoiser: Any) -> tuple[int, ...]:
        rows = torch.zeros(1, spec.unet_in_channels, side, side)
        given = empty(spec.conditioning, 1, "meta")
        return tuple(family.predict(denoiser, rows, torch.zeros(1), given, spec).shape)

    with torch.device("meta"), torch.inference_mode(), quiet():
        for part, length in zip(spec.text_encoders, spec.tokens.values(), strict=True):
            ids = torch.zeros(1, length, dtype=torch.int64)
            found = _tried(folder, part, networks[part], partial(_text, family, part, ids))
            if found is not None:
                outputs[part] = found
        if len(outputs) == len(spec.text_encoders):
            _check_text(folder, spec, family.conditioning(outputs, spec))
        for part, expected, run in ((spec.denoiser, latents, predicted), ("vae", image, decoded)):
            got = _tried(folder, part, networks[part], run)
            if got not in (None, expected):
                raise EngineError(
                    f"{folder / part / 'config.json'} describes a {type(networks[part]).__name__} that gives "
                    f"{list(got)}; expected {list(expected)}: restore it"
                )


def _text(family: Family, part: str, ids: torch.Tensor, encoder: Any) -> dict[str, torch.Tensor]:
    return family.text_outputs(part, encoder, ids)


class _NoShapesError(Exception):
    """Torch has no shapes for an operation, or the result of one is a number."""


class _Operations(TorchDispatchMode):
    """Tells an operation without shapes from a network that says itself that something is not there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return func(*args, **(kwargs or {}))
        except NotImplementedError as error:
            raise _NoShapesError(str(func)) from error
        except RuntimeError as error:  # whether a mask holds a zero, say, is no matter of shapes
            if any("Tensor" in str(one.type) for one in func._schema.returns):
                raise
            raise _NoShapesError(str(func)) from error


def _tried(folder: Path, part: str, network: Any, run: Callable[[Any], Any]) -> Any:
    """What a network gives on shapes; None where torch has no shapes for an operation, which says nothing of it."""
    try:
        with _Operations():  # type: ignore[no-untyped-call]
            return run(copy.deepcopy(network).to("meta"))
    except _NoShapesError:
        return None
    except Exception as error:  # whatever a network makes of settings that do not fit each other
        raise EngineError(
            f"{folder / part / 'config.json'} describes a {type(network).__name__} that does not run "
            f"({reason(error)}): restore it; numbers stand without quotes"
        ) from error


def _check_text(folder: Path, spec: PipelineSpec, conditioning: Conditioning) -> None:
    """Refuse text encoders that give other shapes than the denoiser takes."""
    for name, value in conditioning.items():
        expected = (1, *spec.conditioning[name])
        if tuple(value.shape) != expected:
            raise EngineError(
                f"{folder}: the text encoders give {name} of {list(value.shape)}; expected {list(expected)}: restore "
                "their configurations"
            )
