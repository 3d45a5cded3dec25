"""Which settings of a pipeline folder reach the images, and which values of them are followed here.

Every key of every configuration is in one of three states. It is used, as diffusers builds the network or the scheduler
from it. It is known to have no influence on an image. Or it is followed at its default only, because another value asks
for something that is not here, and is then refused by name. A key that no table names is refused unless it is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.errors import EngineError


@dataclass(frozen=True)
class Known:
    """What is known of the keys of one configuration. only: key -> the values that are followed."""

    used: frozenset[str]
    without_influence: frozenset[str]
    only: Mapping[str, tuple[Any, ...]]


def known(used: str, without_influence: str, only: Mapping[str, tuple[Any, ...]]) -> Known:
    """The tables of one configuration; keys in a string are separated by spaces."""
    return Known(words(used), words(without_influence) | WRITTEN, only)


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


#: What save_pretrained and trainers write into every configuration.
WRITTEN = words(
    "_class_name _diffusers_version _name_or_path _commit_hash _ignore_files _use_default_values "
    "decay inv_gamma min_decay optimization_step power update_after_step use_ema_warmup"
)

UNET = known(
    used="sample_size in_channels out_channels center_input_sample flip_sin_to_cos freq_shift down_block_types "
    "mid_block_type up_block_types only_cross_attention block_out_channels layers_per_block downsample_padding "
    "mid_block_scale_factor act_fn norm_num_groups norm_eps cross_attention_dim transformer_layers_per_block "
    "reverse_transformer_layers_per_block attention_head_dim num_attention_heads dual_cross_attention "
    "use_linear_projection upcast_attention resnet_time_scale_shift resnet_skip_time_act resnet_out_scale_factor "
    "time_embedding_type time_embedding_dim time_embedding_act_fn timestep_post_act conv_in_kernel conv_out_kernel "
    "mid_block_only_cross_attention cross_attention_norm addition_embed_type_num_heads time_cond_proj_dim",
    without_influence="dropout addition_time_embed_dim",
    only={  # others need an input that is not text, noise or a mask
        "class_embed_type": (None,),
        "num_class_embeds": (None,),
        "class_embeddings_concat": (False,),
        "addition_embed_type": (None, "text"),
        "projection_class_embeddings_input_dim": (None,),
        "encoder_hid_dim": (None,),
        "encoder_hid_dim_type": (None,),
        "attention_type": ("default",),
    },
)
UNET_XL = Known(
    UNET.used | words("addition_time_embed_dim projection_class_embeddings_input_dim"),
    UNET.without_influence - {"addition_time_embed_dim"},
    {k: v for k, v in UNET.only.items() if k != "projection_class_embeddings_input_dim"}
    | {"addition_embed_type": ("text_time",)},
)
VAE = known(
    used="down_block_types up_block_types block_out_channels layers_per_block act_fn latent_channels norm_num_groups "
    "scaling_factor use_quant_conv use_post_quant_conv mid_block_add_attention",
    without_influence="sample_size force_upcast",
    only={  # diffusers' Stable Diffusion pipelines do not apply the last three
        "in_channels": (3,),
        "out_channels": (3,),
        "shift_factor": (None, 0),
        "latents_mean": (None,),
        "latents_std": (None,),
    },
)
#: Of the pipelines that subtract the shift before they scale.
VAE_SHIFTED = Known(
    VAE.used | {"shift_factor"}, VAE.without_influence, {k: v for k, v in VAE.only.items() if k != "shift_factor"}
)
#: Of `AutoencoderTiny`, of which the decoder is used.
TINY = known(
    used="decoder_block_out_channels encoder_block_out_channels num_decoder_blocks num_encoder_blocks act_fn "
    "upsample_fn latent_channels upsampling_scaling_factor scaling_factor shift_factor",
    without_influence="latent_magnitude latent_shift force_upcast block_out_channels",
    only={"in_channels": (3,), "out_channels": (3,)},
)
SD3 = known(
    used="sample_size patch_size in_channels out_channels num_layers attention_head_dim num_attention_heads "
    "joint_attention_dim caption_projection_dim pooled_projection_dim pos_embed_max_size dual_attention_layers qk_norm",
    without_influence="",
    only={},
)
FLUX = known(
    used="patch_size in_channels out_channels num_layers num_single_layers attention_head_dim num_attention_heads "
    "joint_attention_dim pooled_projection_dim guidance_embeds axes_dims_rope",
    without_influence="",
    only={},
)
TEXT_ENCODER = known(
    used="vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads max_position_embeddings "
    "layer_norm_eps hidden_act",
    # The first line is of CLIP; the others are of all models of transformers: generation, labels, how files are kept.
    without_influence="projection_dim initializer_range initializer_factor attention_dropout dropout model_type "
    "return_dict output_hidden_states output_attentions torchscript dtype torch_dtype use_bfloat16 tf_legacy_loss "
    "tie_word_embeddings chunk_size_feed_forward is_encoder_decoder is_decoder cross_attention_hidden_size "
    "add_cross_attention tie_encoder_decoder architectures finetuning_task id2label label2id task_specific_params "
    "problem_type tokenizer_class prefix bos_token_id pad_token_id eos_token_id sep_token_id decoder_start_token_id "
    "max_length min_length do_sample early_stopping num_beams temperature top_k top_p typical_p repetition_penalty "
    "length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences "
    "output_scores return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values "
    "exponential_decay_length_penalty suppress_tokens begin_suppress_tokens num_beam_groups diversity_penalty "
    "transformers_version use_cache gradient_checkpointing attn_implementation _attn_implementation_autoset "
    "_attn_implementation output_past",
    only={"pruned_heads": ({},), "use_attention_mask": (False,), "quantization_config": (None,)},
)
T5 = Known(
    words(
        "vocab_size d_model d_kv d_ff num_layers num_heads relative_attention_num_buckets "
        "relative_attention_max_distance layer_norm_epsilon feed_forward_proj dense_act_fn is_gated_act"
    ),
    TEXT_ENCODER.without_influence
    | words("dropout_rate classifier_dropout num_decoder_layers n_positions scale_decoder_outputs"),
    TEXT_ENCODER.only,
)
TOKENIZER = known(
    used="model_max_length bos_token eos_token unk_token pad_token errors add_prefix_space do_lower_case "
    "added_tokens_decoder additional_special_tokens tokenizer_class extra_special_tokens",
    without_influence="name_or_path special_tokens_map_file tokenizer_file clean_up_tokenization_spaces use_fast "
    "processor_class chat_template backend is_local local_files_only trust_remote_code do_basic_tokenize "
    "strip_accents never_split sep_token cls_token mask_token model_input_names device_map legacy",
    only={
        "padding_side": ("right",),
        "truncation_side": ("right",),
        "split_special_tokens": (False,),
        "add_bos_token": (True,),
        "add_eos_token": (True,),
    },
)
#: Of T5, whose tokenizer ends a text and does not begin it.
TOKENIZER_T5 = Known(
    TOKENIZER.used | words("extra_ids"),
    TOKENIZER.without_influence | words("sp_model_kwargs verbose spaces_between_special_tokens"),
    {k: v for k, v in TOKENIZER.only.items() if k != "add_bos_token"},
)
INDEX = known(
    used="scheduler text_encoder tokenizer unet vae",
    without_influence="requires_safety_checker safety_checker feature_extractor image_encoder",
    only={},
)
INDEX_XL = known(
    used="scheduler text_encoder text_encoder_2 tokenizer tokenizer_2 unet vae force_zeros_for_empty_prompt",
    without_influence="feature_extractor image_encoder add_watermarker",
    only={"requires_aesthetics_score": (False,)},  # of the refiner
)
INDEX_TRANSFORMER = known(
    used="scheduler text_encoder text_encoder_2 text_encoder_3 tokenizer tokenizer_2 tokenizer_3 transformer vae",
    without_influence="feature_extractor image_encoder",
    only={},
)


def check_settings(path: Path, config: Mapping[str, Any], keys: Known) -> None:
    """Refuse a configuration that asks for what is not here.

    Parameters
    ----------
    path
        The configuration's file, for the message.

    Raises
    ------
    EngineError
        Names the first key that is unknown or has a value that is not followed.
    """
    for key, value in config.items():
        if key in keys.used or key in keys.without_influence:
            continue
        if key not in keys.only:
            if value is None or value == [None, None]:
                continue
            raise EngineError(
                f"{path} has the setting {key} = {_short(value)}, which this version does not know: if it has no "
                "influence on the images, remove it from the file; otherwise use diffusers for this model"
            )
        if not any(_same(value, allowed) for allowed in keys.only[key]):
            expected = " or ".join(_short(allowed) for allowed in keys.only[key])
            raise EngineError(
                f"{path} has {key} = {_short(value)}, which is not supported; expected {expected}: "
                "use diffusers for this model"
            )


def _same(value: Any, allowed: Any) -> bool:
    """Equal as JSON values: True is not 1, and a tuple is a list."""
    if isinstance(value, bool) or isinstance(allowed, bool):
        return value is allowed
    return bool((list(value) if isinstance(value, tuple) else value) == allowed)


def _short(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
