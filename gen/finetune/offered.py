"""What each family can be tuned by: an option that does not go with a family is refused before any work."""

from __future__ import annotations

from collections.abc import Callable

from dermforge.common.errors import UserError
from engines.checkpoint.skeleton import pipeline_class
from engines.models import families
from engines.models.family import Family
from engines.pipeline_spec import PipelineSpec
from gen.finetune.settings import Execution, Hyperparameters


def check_offered(spec: PipelineSpec, settings: Hyperparameters, execution: Execution) -> None:
    """Refuse a few-step student, and options that the family of a pipeline does not have.

    Raises
    ------
    UserError
        Names the option, why it does not go with the family, and the families that have it.
    """
    if spec.few_steps is not None:
        raise UserError(
            f"the model is a student that draws in {spec.few_steps.steps} steps, and would forget how: train the "
            "pipeline that it was distilled from, and distil that"
        )
    if settings.method == "textual-inversion":
        _refuse(spec, "textual-inversion", learns_words, "it reads prompts by more than CLIP, whose words are learnt")
    if settings.method == "lora" and execution.keep_adapter:
        _refuse(spec, "keep_adapter", keeps_adapters, "diffusers loads no adapters of it; the tuned pipeline is whole")
    if settings.min_snr:
        _refuse(spec, "min_snr", weighs_noise, "it is trained by flow matching, in which all errors count alike")
    if settings.drop_prompt:
        _refuse(spec, "drop_prompt", draws_without_prompt, "its guidance takes no prediction without the prompt")


def learns_words(family: Family) -> bool:
    """Whether all its text encoders are of CLIP, whose words can be learnt."""
    return all(family.parts[part].config == "CLIPTextConfig" for part in family.text_encoders())


def keeps_adapters(family: Family) -> bool:
    """Whether diffusers loads and saves adapters of its pipelines."""
    return hasattr(pipeline_class(family, inpaint=False), "save_lora_weights")


def weighs_noise(family: Family) -> bool:
    """Whether it is of diffusion and not of flow matching."""
    return not family.flow


def draws_without_prompt(family: Family) -> bool:
    """Whether guidance is the difference of a prediction with and one without the prompt."""
    return any(name.startswith("negative") for name in family.their_names)


def _refuse(spec: PipelineSpec, option: str, has: Callable[[Family], bool], why: str) -> None:
    family = families()[spec.family]
    if not has(family):
        others = ", ".join(one.title for one in families().values() if has(one))
        raise UserError(f"`{option}` is not for {family.title}: {why}; leave it out. It is for {others}")
