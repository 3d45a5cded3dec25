"""A pipeline with adapters fused is the pipeline with adapters loaded, and nothing of a file is left out in silence."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapters_helpers import ATTENTION, diffusers_file, image, kohya_file, layers, psnr
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from dermforge.common import id_ranges
from engines.adapters import Lora, with_adapters
from engines.errors import EngineError
from engines.pipeline_spec import read_spec


@pytest.fixture(scope="module")
def base(model: Path) -> Path:
    return model


@pytest.fixture(scope="module")
def kohya(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The tensors of a file as kohya's trainer writes it."""
    return load_file(kohya_file(opened(base), tmp_path_factory.mktemp("kohya") / "a.safetensors", 3))


def opened(folder: Path) -> Any:
    return StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)


def theirs(base: Path, adapters: list[tuple[Path, float]]) -> np.ndarray:
    """The image of diffusers' pipeline with adapters loaded and not fused."""
    pipeline = opened(base)
    for number, (path, _) in enumerate(adapters):
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=f"a{number}")
    pipeline.set_adapters([f"a{number}" for number in range(len(adapters))], [scale for _, scale in adapters])
    return image(pipeline)


def ours(base: Path, adapters: list[tuple[Path, float]]) -> np.ndarray:
    with with_adapters(base, [Lora(path, scale) for path, scale in adapters], []) as folder:
        return image(opened(folder))


def test_images_equal_diffusers_with_adapters_loaded(base: Path, tmp_path: Path) -> None:
    first = diffusers_file(opened(base), tmp_path / "one", 1, lora_alpha=8)
    second = kohya_file(opened(base), tmp_path / "two" / "second.safetensors", 3)
    plain = image(opened(base))
    for adapters in ([(first, 1.0)], [(second, 1.0)], [(first, 0.7), (second, -0.4)]):
        expected = theirs(base, adapters)
        assert psnr(plain, expected) < 35
        assert psnr(ours(base, adapters), expected) >= 50


def test_dora_equals_diffusers(base: Path, tmp_path: Path) -> None:
    path = diffusers_file(opened(base), tmp_path, 1, text=False, use_dora=True)
    assert psnr(ours(base, [(path, 0.6)]), theirs(base, [(path, 0.6)])) >= 50
    other = kohya_file(opened(base), tmp_path / "other.safetensors", 3)
    with pytest.raises(EngineError, match="give it alone"), with_adapters(base, [Lora(path), Lora(other)], []):
        pass


def test_an_adapter_as_peft_saves_it_has_its_scale_beside_it(base: Path, tmp_path: Path) -> None:
    pipeline = opened(base)
    weights, config = layers(pipeline.unet, ATTENTION, 1, lora_alpha=12)
    save_file({f"base_model.model.{n}": v for n, v in weights.items()}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(EngineError, match=r"adapter_config\.json"):
        ours(base, [(tmp_path / "adapter_model.safetensors", 1.0)])
    config.save_pretrained(tmp_path)
    pipeline.unet.add_adapter(config, adapter_name="a")
    from peft.utils import set_peft_model_state_dict

    set_peft_model_state_dict(pipeline.unet, weights, adapter_name="a")
    assert psnr(ours(base, [(tmp_path / "adapter_model.safetensors", 1.0)]), image(pipeline)) >= 50


def test_a_module_without_alpha_counts_once(base: Path, kohya: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """Diffusers gives it the alpha of the other modules."""
    left = sorted(name for name in kohya if name.endswith(".alpha"))[0]
    save_file({n: v for n, v in kohya.items() if n != left}, tmp_path / "left.safetensors")
    save_file(kohya | {left: torch.tensor(4.0)}, tmp_path / "said.safetensors")
    got, expected = (ours(base, [(tmp_path / name, 1.0)]) for name in ("left.safetensors", "said.safetensors"))
    assert np.array_equal(got, expected)


def test_what_was_added_is_recorded_and_its_images_are_not_known(
    base: Path, kohya: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(kohya, tmp_path / "derm.safetensors")
    with with_adapters(base, [Lora(tmp_path / "derm.safetensors", 0.5)], []) as folder:
        spec = read_spec(folder)
        assert (folder / "vae").is_symlink()
        assert not (folder / "unet").is_symlink()
    assert not folder.exists()
    assert spec.classes == read_spec(base).classes
    assert [(one.file, one.kind, one.scale) for one in spec.adapters] == [("derm.safetensors", "lora", 0.5)]
    assert spec.lineage[:2] == ["real-1", "real-2"]
    assert id_ranges.without_record(spec.lineage) == [f"derm.safetensors sha256 {spec.adapters[0].sha256[:16]}"]


def test_an_adapter_of_our_own_names_its_images(base: Path, kohya: dict[str, torch.Tensor], tmp_path: Path) -> None:
    own = {"dermforge": json.dumps({"lineage": ["real-2", "img-7"], "phantom": True})}
    save_file(kohya, tmp_path / "own.safetensors", metadata=own)
    with with_adapters(base, [Lora(tmp_path / "own.safetensors")], []) as folder:
        spec = read_spec(folder)
    assert spec.lineage == ["real-1", "real-2", "img-7"]
    assert spec.phantom


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"lora_unet_nowhere_to_q.lora_down.weight": (4, 32), "lora_unet_nowhere_to_q.lora_up.weight": (32, 4)},
            r"b\.safetensors",
        ),
        ({"lora_unet_mid_block.hada_w1_a": (4, 32)}, "LoHa"),
        ({"lora_unet_mid_block.lokr_w1": (4, 32)}, "LoKr"),
        ({"lora_unet_mid_block.dora_scale": (32, 1)}, "DoRA in the format of LyCORIS"),
        ({"lora_unet_mid_block.diff": (4, 32)}, "whole differences"),
        ({"lora_unet_mid_block.alpha": ()}, "no weights to it"),
        ({"lora_unet_x.lora_down.weight": (4, 32), "lora_unet_x.alpha": (2,)}, r"has the shape \[2\]"),
        ({"lora_unet_x.lora_down.weight": (), "lora_unet_x.lora_up.weight": (4, 4)}, r"has the shape \[\]"),
        ({"lora_unet_x.lora_down.weight": (0, 32)}, "is empty"),
        ({"lora_unet_x.lora_down.weight": (4, 32)}, r"b\.safetensors"),
        ({"lora_te2_text_model_x.lora_down.weight": (4, 32)}, "text_encoder_2"),
        ({"something.lora.else": (4, 32)}, "something"),
    ],
)
def test_a_file_that_is_not_used_whole_is_refused(
    base: Path, kohya: dict[str, torch.Tensor], tmp_path: Path, changed: dict[str, tuple[int, ...]], message: str
) -> None:
    save_file(kohya | {name: torch.ones(shape) for name, shape in changed.items()}, tmp_path / "b.safetensors")
    with pytest.raises(EngineError, match=message):
        ours(base, [(tmp_path / "b.safetensors", 1.0)])


def test_every_tensor_is_used_or_its_loss_refused(base: Path, tmp_path: Path) -> None:
    """Whichever tensor of a file is renamed to what no network has."""
    weights = load_file(diffusers_file(opened(base), tmp_path, 1))
    for name in sorted(weights)[::50]:
        other = {("unet.lora.odd.weight" if n == name else n): v for n, v in weights.items()}
        save_file(other, tmp_path / "b.safetensors")
        with pytest.raises(EngineError, match=r"b\.safetensors"):
            ours(base, [(tmp_path / "b.safetensors", 1.0)])


def test_an_adapter_of_another_architecture_is_refused(base: Path, tmp_path: Path) -> None:
    name = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    save_file(
        {f"{name}.lora_down.weight": torch.ones(4, 2048), f"{name}.lora_up.weight": torch.ones(640, 4)},
        tmp_path / "xl.safetensors",
    )
    with pytest.raises(EngineError, match=r"Stable Diffusion XL.*reads 32"):
        ours(base, [(tmp_path / "xl.safetensors", 1.0)])


def test_a_word_is_added_as_diffusers_adds_it(base: Path, tmp_path: Path) -> None:
    vectors = torch.randn(3, 32, generator=torch.Generator().manual_seed(2))
    save_file({"emb_params": vectors}, tmp_path / "<nevus>.safetensors")
    save_file({"<ulcer>": vectors[0]}, tmp_path / "x.safetensors")
    expected = opened(base)
    expected.load_textual_inversion({"<nevus>": vectors})
    expected.load_textual_inversion({"<ulcer>": vectors[0]})
    with with_adapters(base, [], [tmp_path / "<nevus>.safetensors", tmp_path / "x.safetensors"]) as folder:
        spec, got = read_spec(folder), image(opened(folder), "a <nevus>, <ulcer>")
    assert psnr(got, image(expected, "a <nevus>, <ulcer>")) >= 50
    assert psnr(got, image(opened(base), "a <nevus>, <ulcer>")) < 45
    assert [one.kind for one in spec.adapters] == ["embedding", "embedding"]


def test_words_for_other_models_are_refused(base: Path, tmp_path: Path) -> None:
    for tensors, message in (
        ({"<a>": torch.ones(2, 48)}, "48 numbers"),
        ({"clip_l": torch.ones(2, 32), "clip_g": torch.ones(2, 64)}, "another architecture"),
        ({"a": torch.ones(32)}, "knows 'a' already"),
        ({"<a>": torch.ones(32), "<b>": torch.ones(32)}, "expected learnt words"),
        ({"<a>": torch.ones(1, 1, 32)}, r"expected \[n, width\]"),
    ):
        save_file(tensors, tmp_path / "w.safetensors")
        with pytest.raises(EngineError, match=message), with_adapters(base, [], [tmp_path / "w.safetensors"]):
            pass


def test_nothing_to_add_is_the_model_itself(base: Path) -> None:
    with with_adapters(base, [], []) as folder:
        assert folder == base


@pytest.mark.parametrize("kind", ["kohya", "diffusers", "dora"])
def test_a_matrix_without_its_other_is_named(kind: str, base: Path, tmp_path: Path) -> None:
    """Whichever of a module's two is missing, in whichever names."""
    if kind == "kohya":
        path = kohya_file(opened(base), tmp_path / "a.safetensors", 3)
    else:
        path = diffusers_file(opened(base), tmp_path, 1, text=False, use_dora=kind == "dora")
    whole = load_file(path)
    matrices = sorted(name for name in whole if "alpha" not in name and "magnitude" not in name)
    for lost in matrices[:: len(matrices) // 3]:
        save_file({name: value for name, value in whole.items() if name != lost}, tmp_path / "b.safetensors")
        with pytest.raises(EngineError, match=rf"b\.safetensors has \S+ and no .*{re.escape(lost)}"):
            ours(base, [(tmp_path / "b.safetensors", 1.0)])


def test_a_word_of_more_vectors_than_a_prompt_has_tokens_is_refused(base: Path, tmp_path: Path) -> None:
    """Of sixteen tokens two are the start and the end; what is beyond would be cut off in silence."""
    for vectors in (14, 15, 20):
        save_file({"<nevus>": torch.randn(vectors, 32)}, tmp_path / "w.safetensors")
        with contextlib.ExitStack() as stack:
            if vectors > 14:
                said = rf"w\.safetensors: the word '<nevus>' has {vectors} vectors, and a prompt has room for 14"
                stack.enter_context(pytest.raises(EngineError, match=said))
            read_spec(stack.enter_context(with_adapters(base, [], [tmp_path / "w.safetensors"])))


def test_an_adapter_that_is_fused_already_is_refused(base: Path, tmp_path: Path) -> None:
    """That of `gen finetune --keep-adapter`, wherever it was copied to, and one that a folder names."""
    path = diffusers_file(opened(base), tmp_path / "one", 1)
    with with_adapters(base, [Lora(path, 1.0)], []) as folder:
        tuned = Path(shutil.copytree(folder, tmp_path / "tuned"))
    with pytest.raises(EngineError, match=r"fused into the weights .* already"):
        with_adapters(tuned, [Lora(path, 0.5)], []).__enter__()
    kept = Path(shutil.copytree(base, tmp_path / "kept"))
    (kept / "lora").mkdir()
    shutil.copyfile(path, kept / "lora" / path.name)
    for file in (path, kept / "lora" / path.name):
        with pytest.raises(EngineError, match="would count twice"):
            with_adapters(kept, [Lora(file, 1.0)], []).__enter__()


@pytest.mark.parametrize("zero", ["alpha", "lora_up.weight", "lora_down.weight"])
def test_an_adapter_that_changes_nothing_is_refused(
    zero: str, base: Path, kohya: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """Where every module is without effect; one that has some is enough."""
    path = tmp_path / "b.safetensors"
    nothing = {name: torch.zeros_like(value) if name.endswith(zero) else value for name, value in kohya.items()}
    save_file(nothing, path)
    with pytest.raises(EngineError, match=r"b\.safetensors changes nothing at the scale 0\.5"):
        with_adapters(base, [Lora(path, 0.5)], []).__enter__()
    module = sorted(name for name in kohya if name.startswith("lora_unet"))[0].partition(".")[0]
    save_file(nothing | {name: value for name, value in kohya.items() if name.startswith(module)}, path)
    with with_adapters(base, [Lora(path, 0.5)], []):
        pass


@pytest.mark.parametrize(("scale", "said"), [(1e30, "makes weights of"), (1e38, "makes weights"), (1e-30, "nothing")])
def test_a_scale_that_no_network_works_with_is_refused(
    scale: float, said: str, base: Path, kohya: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(kohya, tmp_path / "b.safetensors")
    with pytest.raises(EngineError, match=rf"b\.safetensors .*{said}") as refused:
        with_adapters(base, [Lora(tmp_path / "b.safetensors", scale)], []).__enter__()
    assert f"at the scale {scale:g}" in str(refused.value)


def test_a_file_that_is_given_twice_is_refused(base: Path, kohya: dict[str, torch.Tensor], tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        save_file(kohya, tmp_path / name)
    for first, said in (("a", "is given twice (as"), ("b", "is given twice, and")):
        files = [Lora(tmp_path / f"{name}.safetensors", 0.5) for name in (first, "b")]
        with pytest.raises(EngineError, match=re.escape(said)):
            with_adapters(base, files, []).__enter__()
