"""A model as people have it is the pipeline folder that it stands for, or is refused in one line."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapters_helpers import image, psnr
from diffusers import DiffusionPipeline, UNet2DConditionModel
from family_pipelines import PIPELINES
from safetensors.torch import load_file, save_file
from single_files import checkpoint, own_weights, sd

from engines.checkpoint.folder import read_json
from engines.checkpoint.skeleton import read_family
from engines.errors import EngineError
from engines.pipeline_spec import read_spec
from engines.source import Source, open_model

UNET = "unet/diffusion_pytorch_model.safetensors"
FAMILIES: dict[str, Callable[[Path], Path]] = {
    "sd1": sd,
    "sd2": lambda folder: sd(folder, second=True),
    **{name: PIPELINES[name] for name in ("sdxl", "sdxl-inpaint", "sd3-without-t5", "sd3", "flux-dev")},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sd(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shapes with other weights: an average over the training."""
    return sd(tmp_path_factory.mktemp("other"), seed=8)


def weights(folder: Path, part: str = "unet") -> dict[str, torch.Tensor]:
    return load_file(next((folder / part).glob("*.safetensors")))


def drawn(folder: Path) -> np.ndarray:
    left_out = [name for name, value in read_json(folder / "model_index.json").items() if value == [None, None]]
    pipeline = DiffusionPipeline.from_pretrained(folder, **dict.fromkeys(left_out))
    if "Inpaint" not in type(pipeline).__name__:
        return image(pipeline)
    rows: dict[str, Any] = {"image": torch.zeros(1, 3, 64, 64), "mask_image": torch.ones(1, 1, 64, 64)}
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline("a", num_inference_steps=2, generator=torch.Generator().manual_seed(5), output_type="np", **rows)
    return np.asarray(made.images[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_file_draws_what_its_folder_draws(family: str, tmp_path: Path) -> None:
    folder = FAMILIES[family](tmp_path)
    expected = drawn(folder)
    for layout in range(max(map(len, read_family(folder).layouts.values()))):
        path = checkpoint(folder, tmp_path / "model.safetensors", layout=layout)
        with open_model(Source(path, parts_from=folder)) as opened:
            spec = read_spec(opened)
            assert layout or np.array_equal(drawn(opened), expected)
            for part in spec.networks:
                torch.testing.assert_close(own_weights(opened, part), own_weights(folder, part), rtol=0, atol=0)
        assert not opened.exists()
        assert spec == read_spec(folder).model_copy(update={"source": spec.source})
        assert spec.source is not None
        assert spec.source.file == "model.safetensors"
        assert all(part.startswith("tokenizer") for part in spec.source.lent)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_file_in_half_precision_stays_in_it(base: Path, dtype: torch.dtype, tmp_path: Path) -> None:
    path = checkpoint(base, tmp_path / "half.safetensors", dtype=dtype)
    with open_model(Source(path, parts_from=base)) as opened:
        read_spec(opened)
        found = weights(opened)
    assert {value.dtype for value in found.values()} == {dtype}
    torch.testing.assert_close(found, {n: v.to(dtype) for n, v in weights(base).items()}, rtol=0, atol=0)


def test_what_a_file_lacks_is_lent_and_named(base: Path, tmp_path: Path) -> None:
    path = checkpoint(base, tmp_path / "unet.safetensors", without=("vae", "text_encoder"))
    with open_model(Source(path, parts_from=base)) as opened:
        spec = read_spec(opened)
        assert np.array_equal(drawn(opened), drawn(base))
    assert spec.source is not None
    assert spec.source.lent == ["text_encoder", "tokenizer", "vae"]
    assert "text_encoder, tokenizer, vae of pipeline" in spec.source.in_words()


def test_what_was_lent_brings_its_lineage(base: Path, tmp_path: Path) -> None:
    tuned = Path(shutil.copytree(base, tmp_path / "tuned"))
    (tuned / "dermforge.json").write_text(json.dumps({"lineage": ["img-1"], "phantom": True, "classes": ["a"]}))
    path = checkpoint(base, tmp_path / "unet.safetensors", without=("vae",))
    with open_model(Source(path, parts_from=tuned)) as opened:
        spec = read_spec(opened)
    assert (spec.lineage, spec.phantom, spec.classes) == (["img-1"], True, None)


def test_the_average_is_read_on_request_only(
    base: Path, other: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = {"model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(3)}
    path = checkpoint(base, tmp_path / "both.safetensors", average=other, more=more)
    for variant, expected in ((None, base), ("non_ema", base), ("ema", other)):
        caplog.clear()
        with open_model(Source(path, variant=variant, parts_from=base)) as opened:
            torch.testing.assert_close(weights(opened), weights(expected), rtol=0, atol=0)
            spec = read_spec(opened)
        assert spec.source is not None
        assert spec.source.variant == variant
        assert "weights are not read" in caplog.text
    plain = checkpoint(base, tmp_path / "plain.safetensors")
    with pytest.raises(EngineError, match="no average over the training"):
        open_model(Source(plain, variant="ema", parts_from=base)).__enter__()
    with pytest.raises(EngineError, match="ema and non_ema are variants"):
        open_model(Source(plain, variant="fp16", parts_from=base)).__enter__()


def test_tensors_without_influence_are_left_and_others_refused(base: Path, tmp_path: Path) -> None:
    cumulative = DiffusionPipeline.from_pretrained(base, safety_checker=None).scheduler.alphas_cumprod
    known = {
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(16)[None],
        "alphas_cumprod": cumulative.half(),
        "sqrt_one_minus_alphas_cumprod": torch.ones(1000),
        "betas": torch.ones(1000),
        "first_stage_model.loss.logvar": torch.zeros(()),
    }
    with open_model(Source(checkpoint(base, tmp_path / "a.safetensors", more=known), parts_from=base)):
        pass
    for name in (
        "edm_mean",
        "model.diffusion_model.input_blocks.1.2.odd.weight",
        "../../etc/passwd",
        "control_model.x",
    ):
        path = checkpoint(base, tmp_path / "b.safetensors", more={name: torch.zeros(2)})
        with pytest.raises(EngineError, match=r"holds 1 tensors that no part asks for") as refused:
            open_model(Source(path, parts_from=base)).__enter__()
        assert name in str(refused.value)
    path = checkpoint(base, tmp_path / "c.safetensors", more={"alphas_cumprod": cumulative.flip(0).contiguous()})
    with pytest.raises(EngineError, match="noise schedule"):
        open_model(Source(path, parts_from=base)).__enter__()


def test_every_tensor_is_used_or_its_loss_named(base: Path, tmp_path: Path) -> None:
    """Whichever tensor of a file is taken away, of another shape, of another type or not finite."""
    whole = load_file(checkpoint(base, tmp_path / "a.safetensors"))
    path = tmp_path / "b.safetensors"
    for name in sorted(whole)[::150]:
        value = whole[name]
        for changed, message in (
            (None, "are missing"),
            (torch.zeros(*value.shape, 3), "gives no"),
            (value.to(torch.float8_e4m3fn), "of type F8_E4M3"),
            (value.to(torch.int32), "of type I32"),
            (value * float("nan"), "NaN or infinity"),
        ):
            save_file({n: v for n, v in (whole | {name: changed}).items() if v is not None}, path)
            with pytest.raises(EngineError, match=message) as refused:
                open_model(Source(path, parts_from=base)).__enter__()
            assert name in str(refused.value)


def test_what_is_no_model_is_named_in_one_line(base: Path, tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"PK")
    (tmp_path / "model.onnx").write_bytes(b"PK")
    for name, tensors in (
        ("lora", {"lora_unet_x.lora_down.weight": torch.ones(2, 2)}),
        ("vae", {"first_stage_model.encoder.conv_in.weight": torch.ones(2, 2)}),
        ("part", {"down_blocks.0.resnets.0.conv1.weight": torch.ones(2, 2)}),
        ("sana", {"blocks.0.cross_attn.q_linear.weight": torch.ones(2, 2)}),
    ):
        save_file(tensors, tmp_path / f"{name}.safetensors")
    for name, message in (
        ("model.ckpt", r"is a pickle.*python -c"),
        ("model.onnx", r"is a \.onnx; expected a pipeline folder or a \.safetensors"),
        ("lora.safetensors", "is an adapter"),
        ("vae.safetensors", "holds a VAE alone"),
        ("part.safetensors", "one network in the names of diffusers"),
        ("sana.safetensors", r"Stable Diffusion XL.*engines/models, with the names of its weights"),
    ):
        with pytest.raises(EngineError, match=message) as refused:
            open_model(Source(tmp_path / name)).__enter__()
        assert "\n" not in str(refused.value)
    with pytest.raises(EngineError, match="are for single files"):
        open_model(Source(base, prediction_type="epsilon")).__enter__()
    with pytest.raises(EngineError, match="expected one of epsilon"):
        open_model(Source(base, prediction_type="v")).__enter__()


@pytest.mark.parametrize("variant", ["fp16", "non_ema", "ema"])
@pytest.mark.parametrize("sharded", [False, True])
def test_the_chosen_copies_are_read(base: Path, tmp_path: Path, variant: str, sharded: bool) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "copies"))
    chosen = UNet2DConditionModel.from_pretrained(base / "unet")
    with torch.no_grad():
        chosen.conv_in.weight.add_(1)
    chosen.save_pretrained(folder / "unet", variant=variant, max_shard_size="300KB" if sharded else "10GB")
    with open_model(Source(folder, variant=variant)) as opened:
        spec = read_spec(opened)
        theirs = UNet2DConditionModel.from_pretrained(folder / "unet", variant=variant)
        ours = UNet2DConditionModel.from_pretrained(opened / "unet")
        torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()), rtol=0, atol=0)
    assert spec.source is not None
    assert (spec.source.variant, spec.source.plain) == (variant, ["vae", "text_encoder"])


def test_a_folder_beside_a_part_is_a_variant_of_it(base: Path, other: Path, tmp_path: Path) -> None:
    """As diffusers' training scripts save their averages: with the settings of the average in the configuration."""
    folder = Path(shutil.copytree(base, tmp_path / "trained"))
    shutil.copytree(other / "unet", folder / "unet_ema")
    config = read_json(folder / "unet_ema" / "config.json") | {"decay": 0.9999, "optimization_step": 10}
    (folder / "unet_ema" / "config.json").write_text(json.dumps(config))
    with open_model(Source(folder, variant="ema")) as opened:
        read_spec(opened)
        torch.testing.assert_close(weights(opened), weights(other), rtol=0, atol=0)


def test_a_copy_that_is_not_there_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no weights of the variant 'fp16'; it has none beside the plain ones: leave"):
        open_model(Source(base, variant="fp16")).__enter__()
    folder = Path(shutil.copytree(base, tmp_path / "copies"))
    shutil.copy(folder / UNET, folder / "unet" / "diffusion_pytorch_model.bf16.safetensors")
    with pytest.raises(EngineError, match="'fp16'; it has bf16"):
        open_model(Source(folder, variant="fp16")).__enter__()
    index = {"weight_map": {"a": "../../elsewhere.safetensors"}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.fp16.json").write_text(json.dumps(index))
    with pytest.raises(EngineError, match="which is not there"):
        open_model(Source(folder, variant="fp16")).__enter__()


def test_two_copies_without_a_choice_are_named(base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "copies"))
    shutil.copy(folder / UNET, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert read_spec(folder).source is None
    assert "not from unet/diffusion_pytorch_model.fp16.safetensors: choose a variant" in caplog.messages[0]
    assert UNET in caplog.messages[0]
    assert psnr(drawn(folder), drawn(base)) == float("inf")


@pytest.mark.parametrize("file", ["vae/config.json", "tokenizer/*.json"])
def test_a_part_that_is_lent_and_damaged_is_named_where_it_lies(file: str, base: Path, tmp_path: Path) -> None:
    """And not in the private folder that is gone when the message is read."""
    lender = Path(shutil.copytree(base, tmp_path / "lender"))
    path = checkpoint(base, tmp_path / "unet.safetensors", without=("vae",))
    for one in lender.glob(file):  # versions of transformers read other files of a tokenizer
        one.write_text("{")
    with pytest.raises(EngineError, match=rf"lender/{file.split('/')[0]}") as refused:  # noqa: SIM117
        with open_model(Source(path, parts_from=lender)) as opened:
            read_spec(opened)
    assert tempfile.gettempdir() + "/dermforge" not in str(refused.value)


def test_a_folder_that_lends_nothing_is_refused(base: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "unet").mkdir(parents=True)
    path = checkpoint(base, tmp_path / "whole.safetensors")
    with pytest.raises(EngineError, match=r"empty, which has neither model_index\.json nor a tokenizer"):
        open_model(Source(path, parts_from=tmp_path / "empty")).__enter__()


def test_a_lender_of_another_family_is_named(base: Path, tmp_path: Path) -> None:
    path, lender = checkpoint(base, tmp_path / "whole.safetensors"), PIPELINES["sd3"](tmp_path)
    for given, said in (
        (lender, rf"holds no transformer of Stable Diffusion 3 and 3\.5, which the folder {lender} is of: give one of"),
        (path, f"`parts_from` is {path}, a file; expected a pipeline folder"),
    ):
        with pytest.raises(EngineError, match=said):
            open_model(Source(path, parts_from=given)).__enter__()


@pytest.mark.parametrize(("key", "value"), [("layers_per_block", 3), ("in_channels", 9)])
def test_a_lender_of_another_shape_is_named(key: str, value: int, base: Path, tmp_path: Path) -> None:
    """Whether the file lacks weights that its configuration asks for, or has them in other shapes."""
    path, lender = checkpoint(base, tmp_path / "whole.safetensors"), Path(shutil.copytree(base, tmp_path / "lender"))
    config = json.loads((lender / "unet/config.json").read_text())
    (lender / "unet/config.json").write_text(json.dumps(config | {key: value}))
    said = rf"of another family or shape than {lender}, whose configurations were taken .* give a folder of the file"
    with pytest.raises(EngineError, match=said):
        open_model(Source(path, parts_from=lender)).__enter__()
