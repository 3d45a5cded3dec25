"""The text encoders that families share: CLIP with and without its projection, and T5; and their tokenizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from engines.checkpoint.settings import Known, known, words
from engines.models.family import Part, Tokens

CLIP_SETTINGS = known(
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
T5_SETTINGS = Known(
    words(
        "vocab_size d_model d_kv d_ff num_layers num_heads relative_attention_num_buckets "
        "relative_attention_max_distance layer_norm_epsilon feed_forward_proj dense_act_fn is_gated_act"
    ),
    CLIP_SETTINGS.without_influence
    | words("dropout_rate classifier_dropout num_decoder_layers n_positions scale_decoder_outputs"),
    CLIP_SETTINGS.only,
)
CLIP_TOKENIZER_SETTINGS = known(
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
T5_TOKENIZER_SETTINGS = Known(
    CLIP_TOKENIZER_SETTINGS.used | words("extra_ids"),
    CLIP_TOKENIZER_SETTINGS.without_influence | words("sp_model_kwargs verbose spaces_between_special_tokens"),
    {k: v for k, v in CLIP_TOKENIZER_SETTINGS.only.items() if k != "add_bos_token"},
)

CLIP = Part("transformers", "CLIPTextModel", CLIP_SETTINGS, "CLIPTextConfig")
PROJECTED_CLIP = Part("transformers", "CLIPTextModelWithProjection", CLIP_SETTINGS, "CLIPTextConfig")
T5 = Part("transformers", "T5EncoderModel", T5_SETTINGS, "T5Config", int8=True)
CLIP_TOKENS = Tokens(("CLIPTokenizer", "CLIPTokenizerFast"), CLIP_TOKENIZER_SETTINGS)


def t5_tokens(length: int, optional: bool = False) -> Tokens:
    """T5's tokenizer, of which a pipeline keeps so many tokens."""
    return Tokens(
        ("T5Tokenizer", "T5TokenizerFast"), T5_TOKENIZER_SETTINGS, length, optional, ("eos_token", "pad_token")
    )


def penultimate(encoder: Any, ids: Tensor, pooled: bool = True) -> dict[str, Tensor]:
    """The embeddings before the last layer, float32 [n, tokens, dimensions], and the pooled one, [n, dimensions]."""
    out = encoder(ids, output_hidden_states=True)
    text = out.hidden_states[-2].float()
    return {"text": text, "pooled": out[0].float()} if pooled else {"text": text}


def side_by_side(outputs: Mapping[str, Mapping[str, Tensor]], name: str) -> Tensor:
    """One output of all encoders that give it, joined along its last axis."""
    return torch.cat([out[name] for out in outputs.values() if name in out], dim=-1)
