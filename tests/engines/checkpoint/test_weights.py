"""Every weight of a network comes from its folder, or the folder is refused by the weight's name."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from engines.checkpoint.folder import ADAPTERS, weight_files
from engines.checkpoint.skeleton import empty_network
from engines.checkpoint.weights import WRAPPERS, check_weights, copy_part, is_finite, load_part, own_names
from engines.errors import EngineError
from engines.pipeline_spec import read_spec

FILE = "diffusion_pytorch_model.safetensors"
Rename = Callable[..., None]


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_network_is_the_one_that_diffusers_loads(folder: Path, part: str) -> None:
    kinds = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    theirs, ours = kinds[part].from_pretrained(folder / part), load_part(folder, part)
    assert not ours.training
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()), rtol=0, atol=0)
    assert {n: b.shape for n, b in ours.named_buffers()} == {n: b.shape for n, b in theirs.named_buffers()}
    assert not any(value.is_meta for value in (*ours.parameters(), *ours.buffers()))


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
@pytest.mark.parametrize(
    "wrapper", ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module.", "base_model.model."]
)
def test_a_wrappers_prefix_is_taken_away(folder: Path, rename: Rename, part: str, wrapper: str) -> None:
    before = load_part(folder, part).state_dict()
    rename(part, lambda name: wrapper + name)
    assert check_weights(folder, part, empty_network(folder, part))
    torch.testing.assert_close(dict(load_part(folder, part).state_dict()), dict(before), rtol=0, atol=0)


def test_the_layers_that_peft_leaves_are_taken_as_their_own(folder: Path, rename: Rename) -> None:
    before = load_part(folder, "unet").state_dict()
    rename("unet", lambda name: name.replace(".to_q.", ".to_q.base_layer."))
    assert check_weights(folder, "unet", empty_network(folder, "unet")) == ["base_layer."]
    torch.testing.assert_close(dict(load_part(folder, "unet").state_dict()), dict(before), rtol=0, atol=0)


@pytest.mark.parametrize("part", ["text_encoder", "unet"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_beside_the_weights_is_refused(folder: Path, part: str, name: str) -> None:
    """Transformers would load it, and the weights of the folder that it names; diffusers would not look at it."""
    (folder / part / name).write_text(json.dumps({"base_model_name_or_path": "elsewhere", "peft_type": "LORA"}))
    for reads in (read_spec, lambda place: load_part(place, part)):
        with pytest.raises(EngineError, match=rf"{part} holds an adapter that is not fused \({name}\)"):
            reads(folder)


@given(st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=4), st.sampled_from(["conv_in.weight", "a.to_q.bias"]))
def test_own_names_do_not_depend_on_the_order_of_wrappers(wrappers: list[str], name: str) -> None:
    outer = "".join(word for word in wrappers if word != "base_layer.")
    layer, last = name.rsplit(".", 1)
    wrapped = f"{outer}{layer}.{'base_layer.' if 'base_layer.' in wrappers else ''}{last}"
    assert own_names(Path("unet"), [wrapped]) == {wrapped: name}


def test_missing_and_unknown_weights_are_named(folder: Path, rename: Rename) -> None:
    rename("text_encoder", lambda name: None if "final_layer_norm" in name else name)
    with pytest.raises(
        EngineError, match=r"text_encoder: .* 2 missing \(text_model.final_layer_norm.bias and 1 more\)"
    ):
        load_part(folder, "text_encoder")
    rename("unet", lambda name: "ema." + name if name == "conv_in.bias" else name)
    with pytest.raises(
        EngineError, match=r"1 missing \(conv_in.bias\) and 1 unknown \(ema.conv_in.bias\).*save_pretrained"
    ):
        load_part(folder, "unet")


@pytest.mark.parametrize("name", ["mid.to_q.lora_A.default.weight", "x.lora.up.weight", "a.lora_magnitude_vector"])
def test_an_adapter_that_is_not_fused_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match=r"not fused.*fuse_lora"):
        own_names(Path("unet"), ["conv_in.weight", name])


def test_one_weight_under_two_names_is_refused() -> None:
    with pytest.raises(EngineError, match="under two names"):
        own_names(Path("unet"), ["conv_in.weight", "_orig_mod.conv_in.weight"])


def test_weights_of_another_shape_are_named(folder: Path, edit: Callable[..., None]) -> None:
    edit("text_encoder/config.json", intermediate_size=48)
    with pytest.raises(EngineError, match=r"do not fit config.json: .*fc1.bias is \[64\], expected \[48\]"):
        load_part(folder, "text_encoder")


@pytest.mark.parametrize(
    ("dtype", "word"), [(torch.float8_e4m3fn, "F8_E4M3"), (torch.float8_e5m2, "F8_E5M2"), (torch.int8, "I8")]
)
def test_quantized_weights_are_refused(folder: Path, dtype: torch.dtype, word: str) -> None:
    path = folder / "unet" / FILE
    weights = load_file(path)
    weights["conv_in.weight"] = weights["conv_in.weight"].to(dtype)
    save_file(weights, path)
    with pytest.raises(EngineError, match=f"conv_in.weight is of type {word}; expected one of F32.*not quantized"):
        check_weights(folder, "unet", empty_network(folder, "unet"))


@given(
    st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    st.integers(0, 99),
)
def test_a_number_that_is_not_finite_is_found(value: float, dtype: torch.dtype, place: int) -> None:
    numbers = torch.arange(100).to(dtype)
    assert is_finite(numbers)
    numbers[place] = value
    assert not is_finite(numbers)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_named(folder: Path, value: float) -> None:
    path = folder / "unet" / FILE
    weights = load_file(path)
    weights["mid_block.resnets.0.conv1.weight"][0, 0, 0, 0] = value
    save_file(weights, path)
    with pytest.raises(EngineError, match=r"mid_block.resnets.0.conv1.weight holds NaN or infinity"):
        load_part(folder, "unet")


def test_a_truncated_file_is_named(folder: Path) -> None:
    path = folder / "unet" / FILE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EngineError, match="is not a whole safetensors file"):
        load_part(folder, "unet")


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_are_read_and_copied_as_one_file(folder: Path, tmp_path: Path, variant: str | None) -> None:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").half()
    (folder / "unet" / FILE).unlink()
    unet.save_pretrained(folder / "unet", max_shard_size="200KB", variant=variant)
    files = weight_files(folder, "unet")
    assert (len(files.files) > 1, files.variant) == (True, variant)
    torch.testing.assert_close(
        dict(load_part(folder, "unet").state_dict()), dict(unet.float().state_dict()), rtol=0, atol=0
    )
    (tmp_path / "copy").mkdir()
    copy_part(folder, tmp_path / "copy", "unet")
    assert weight_files(tmp_path / "copy", "unet").files == [tmp_path / "copy" / "unet" / FILE]
    assert load_file(tmp_path / "copy" / "unet" / FILE)["conv_in.weight"].dtype == torch.float16
    files.files[1].unlink()
    with pytest.raises(EngineError, match=r"names .*, which is not there"):
        load_part(folder, "unet")


def test_two_copies_and_copies_under_other_names_are_not_guessed_at(folder: Path) -> None:
    place = folder / "unet"
    (place / f"{FILE}.index.json").write_text(json.dumps({"weight_map": {"conv_in.weight": FILE}}))
    with pytest.raises(EngineError, match="two copies"):
        weight_files(folder, "unet")
    (place / f"{FILE}.index.json").unlink()
    (place / FILE).rename(place / "ema.safetensors")
    with pytest.raises(EngineError, match=r"expected diffusion_pytorch_model.safetensors.*ema.safetensors is not read"):
        weight_files(folder, "unet")


def test_the_old_names_of_a_vaes_attention_are_read(folder: Path, rename: Rename) -> None:
    before = load_part(folder, "vae").state_dict()
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def named(name: str) -> str:
        for new, former in old.items():
            name = name.replace(f".{new}.", f".{former}.")
        return name

    rename("vae", named)
    assert "encoder.mid_block.attentions.0.query.weight" in load_file(folder / "vae" / FILE)
    torch.testing.assert_close(dict(load_part(folder, "vae").state_dict()), dict(before), rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["text_model.", "", "module.", "_orig_mod.text_model."])
def test_the_text_encoders_names_of_either_transformers_are_read(
    folder: Path, rename: Rename, tmp_path: Path, prefix: str
) -> None:
    """Transformers 5 saves them without `text_model.`, from which transformers 4 would draw random weights."""
    ids = torch.arange(16)[None]
    with torch.no_grad():
        before = load_part(folder, "text_encoder")(ids)[0]
        rename("text_encoder", lambda name: prefix + name.removeprefix("text_model."))
        assert torch.equal(load_part(folder, "text_encoder")(ids)[0], before)
        (tmp_path / "copy").mkdir()
        shutil.copy(folder / "model_index.json", tmp_path / "copy")
        copy_part(folder, tmp_path / "copy", "text_encoder")
        assert all(
            name.startswith("text_model.") for name in load_file(tmp_path / "copy/text_encoder/model.safetensors")
        )
        assert torch.equal(load_part(tmp_path / "copy", "text_encoder")(ids)[0], before)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_no_weight_is_missing_or_unknown_in_silence(
    model: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whichever weight is taken away or renamed, and under whichever names the others are."""
    part = data.draw(st.sampled_from(["text_encoder", "unet", "vae"]))
    file = weight_files(model, part).files[0]
    weights = {own: value for name, value in load_file(file).items() for own in own_names(file.parent, [name]).values()}
    lost = data.draw(st.sampled_from(sorted(weights)))
    renamed = data.draw(st.sampled_from([None, f"ema.{lost}", f"{lost}.other", f"{lost}_"]))
    value = weights.pop(lost)
    if renamed:
        weights[renamed] = value
    prefix = data.draw(st.sampled_from(["", "module."]))
    if part == "text_encoder" and data.draw(st.booleans()):
        weights = {name.removeprefix("text_model."): value for name, value in weights.items()}
    place = tmp_path_factory.mktemp("part") / part
    shutil.copytree(model / part, place)
    shutil.copy(model / "model_index.json", place.parent)
    save_file({prefix + name: value for name, value in weights.items()}, place / file.name)
    with pytest.raises(EngineError, match=re.escape(f"1 missing ({lost})")) as refused:
        load_part(place.parent, part)
    assert ("1 unknown (" in str(refused.value)) == bool(renamed)
