"""What a run teaches: which network, by which noisy latents, and the folder that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from engines.pipeline_spec import PipelineSpec
from gen.finetune import methods, output
from gen.finetune.base import Base
from gen.finetune.data.batches import Batch, Batches
from gen.finetune.data.examples import Examples
from gen.finetune.objective import Objective, objective_of


@dataclass(frozen=True)
class Lesson:
    """What a run teaches.

    Attributes
    ----------
    name
        What its progress is called.
    network
        The network that is trained, with its prompts.
    objective
        The noisy latents that it sees, and their timesteps.
    result
        The folder that is written.
    loss
        Of the network and its batches: the network as accelerate wrapped it, and a batch -> the mean loss.
    drawn
        Solver, steps and guidance of validation images, where they are not those of the execution.
    """

    name: str
    network: Callable[[Base, Examples, Any], methods.PromptedDenoiser]
    objective: Callable[[PipelineSpec, Any], Objective]
    result: type[output.TunedPipeline]
    loss: Callable[[Any, Batches], Callable[[nn.Module, Batch], Tensor]] = lambda network, batches: batches.loss
    drawn: Callable[[Any], Mapping[str, Any]] = lambda settings: {}


FINE_TUNING = Lesson(
    "fine-tune", methods.new_network, lambda spec, settings: objective_of(spec, settings.min_snr), output.TunedPipeline
)
