"""Every family: its images are those of diffusers' own pipeline, and an unknown one is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_helpers import call
from family_pipelines import PIPELINES
from runs_helpers import files

from engines import Bundle, build, load
from engines.backends.tensorrt import resolve_target
from engines.certificate import read_certificate
from engines.checkpoint.skeleton import read_family
from engines.compile.tensorrt_build import compile_graph
from engines.conditioning import chosen
from engines.errors import EngineError
from engines.models import families, family_of
from engines.models.flux import packed, unpacked
from engines.pipeline_spec import read_spec

SIZE = 64


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make: Callable[[Path], Path] = PIPELINES[request.param]
    return make(tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def built(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Its graphs in ONNX Runtime."""
    return build(folder, tmp_path_factory.mktemp("bundle") / "bundle", rows=4, size=SIZE, prompts=["a nodule", ""])


ENCODED = pytest.param("sdxl-encoded", marks=pytest.mark.slow)


def each(*names: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("folder", names, indirect=True)


@each("sdxl", ENCODED, "sd3", "flux-dev", "pixart")  # the others: tests/gen/sampling/test_families.py
def test_its_images_are_those_of_diffusers(built: Bundle) -> None:
    """The certificate draws with diffusers' pipeline of that class from the same noise: 50 dB in float32."""
    certificate = read_certificate(built)
    assert certificate.passed
    assert certificate.images.psnr_worst >= 50
    assert certificate.own_steps is False
    assert built.manifest.spec.denoiser in certificate.components  # named as the family names its part


@each("sdxl", "sd3", "flux-dev", "pixart")
def test_rows_change_nothing_but_time(built: Bundle) -> None:
    """Whichever rows stand together in a call of the denoiser."""
    engine = load(built.folder)
    spec, noise = engine.spec, torch.Generator().manual_seed(0)
    latents = torch.randn(6, spec.unet_in_channels, spec.latent_size, spec.latent_size, generator=noise)
    words, times = engine.encode_text(list("abcabc")), torch.linspace(900, 100, 6)
    together = engine.denoise(latents, times, words)
    for row in (0, 5):
        alone = engine.denoise(latents[[row]], times[[row]], chosen(words, [row]))
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-4)


@each("sdxl", "sd3", "flux-dev", "pixart")
def test_gen_sample_writes_the_same_bytes_whoever_draws(built: Bundle, tmp_path: Path) -> None:
    """By one process or two, in calls of four batch rows or of two, and in whatever order the plan's rows stand."""
    head = "id,class,prompt,solver,steps,guidance,size,seed"
    rows = [f"r{n},a,{'abc'[n % 3]},{('euler', 'unipc')[n % 2]},{2 + n % 3},{1.0 + n % 3},{SIZE},{n}" for n in range(5)]
    for name, order in (("plan", rows), ("reversed", rows[::-1])):
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *order]) + "\n")

    def drawn(name: str, plan: str, *more: str) -> dict[str, bytes]:
        line = f"gen sample --engine {built.folder} --shards {tmp_path / name} --plan {tmp_path / plan}.csv"
        for options in more or ("",):
            assert call(f"{line} --name s --shard-size 2 --threads 1 {options}") == 0
        return files(tmp_path / name)

    alone = drawn("alone", "plan")
    assert len(alone) == 3 * len(("tar", "json", "idx"))
    assert drawn("apart", "reversed", "--worker 1/2", "--worker 0/2") == alone
    pixels = {name: data for name, data in alone.items() if name.endswith(".tar")}
    assert {name: data for name, data in drawn("few", "plan", "--rows 2").items() if name.endswith(".tar")} == pixels


@pytest.mark.parametrize("target", ["sm_89", "sm_120"])
@each("sdxl", "sd3", "flux-dev", "pixart")
def test_its_denoiser_compiles_for_a_gpu_that_is_not_here(built: Bundle, target: str) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    part = built.folder / built.manifest.spec.denoiser
    compiled = compile_graph(part / "rows.onnx", resolve_target("tensorrt-rtx", target), 4)
    assert len(compiled) > (part / "model.onnx.data").stat().st_size // 2


@pytest.mark.slow
@pytest.mark.parametrize("target", ["sm_89", "sm_120"])
@pytest.mark.parametrize("name", PIPELINES)
def test_its_engine_files_in_half_precision(name: str, target: str, tmp_path: Path) -> None:
    """Of all parts, as users build them; the graphs that they were compiled from are certified here."""
    pytest.importorskip("tensorrt_rtx_bindings")
    made = {"backend": "tensorrt-rtx", "target": target, "precision": "fp16", "rows": 4, "size": SIZE, "prompts": ["a"]}
    half = build(PIPELINES[name](tmp_path / "parts"), tmp_path / "bundle", **made)  # type: ignore[arg-type]
    spec = half.manifest.spec
    assert {*half.engine_files("tensorrt-rtx")} == {*spec.text_encoders, spec.denoiser, "vae_decoder", "vae_encoder"}
    errors = read_certificate(half).components
    assert [*errors] == [*spec.text_encoders, spec.denoiser, "vae_decoder", "vae_encoder"]
    assert 0 < errors[spec.denoiser]["real"] < 1e-2


@each("sdxl", ENCODED)
def test_an_empty_negative_prompt_is_what_diffusers_takes_it_for(built: Bundle) -> None:
    engine = load(built.folder)
    positive, negative = engine.encode_text([""]), engine.encode_text([""], negative=True)
    zeros = engine.spec.empty_prompt == "zeros"
    assert bool(negative["text"].any()) is not zeros
    assert positive["text"].any()
    assert torch.equal(positive["time_ids"], negative["time_ids"])


@each("flux-dev", "flux-schnell")
def test_guidance_is_an_input_where_it_was_distilled(folder: Path) -> None:
    spec = read_spec(folder, SIZE)
    assert spec.guidance == ("embedded" if "guidance" in spec.conditioning else "none")


@pytest.mark.parametrize("side", [2, 4, 6])
def test_packing_is_undone(side: int) -> None:
    latents = torch.randn(2, 3, side, side)
    assert torch.equal(unpacked(packed(latents), side), latents)


def test_an_unknown_kind_of_pipeline_names_those_that_are_known() -> None:
    with pytest.raises(EngineError, match=r"holds a SanaPipeline.*FLUX\.1 \(FluxPipeline.*a file of its own"):
        family_of(Path("folder"), {"_class_name": "SanaPipeline"})


def test_no_class_belongs_to_two_families() -> None:
    named = [name for family in families().values() for name in family.pipelines]
    assert len(named) == len(set(named))


def changed(folder: Path, copy: Path, name: str, **values: object) -> Path:
    """A copy of a folder with other values in one of its JSON files."""
    shutil.copytree(folder, copy)
    path = copy / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return copy


@each("sdxl", "sd3", "flux-dev", "pixart")
def test_a_text_encoder_and_its_tokenizer_are_both_there_or_neither(folder: Path, tmp_path: Path) -> None:
    for n, part in enumerate(name for pair in read_family(folder).readers().items() for name in pair):
        for gone in ([None, None], None):
            copy = changed(folder, tmp_path / f"{n}-{gone}", "model_index.json", **{part: gone})
            with pytest.raises(EngineError, match=rf"model_index\.json names no {part}\b"):
                read_spec(copy, SIZE)


@each("sdxl", "sdxl-inpaint", "sd3", "flux-dev", "pixart")
def test_a_vae_of_other_latents_is_said_to_be_of_another_model(folder: Path, tmp_path: Path) -> None:
    copy = changed(folder, tmp_path / "copy", "vae/config.json", latent_channels=8)
    with pytest.raises(EngineError, match="the parts are of different models"):
        read_spec(copy, SIZE)


@each("sd3", "flux-dev")
def test_a_transformer_that_takes_more_than_it_gives_is_a_control_model(folder: Path, tmp_path: Path) -> None:
    channels = {"in_channels": 128, "out_channels": 16 if folder.parent.name.startswith("sd3") else 64}
    copy = changed(folder, tmp_path / "copy", "transformer/config.json", **channels)
    with pytest.raises(EngineError, match="inpainting and control models are not supported"):
        read_spec(copy, SIZE)


@each("sd3")
def test_a_size_without_positions_names_the_largest(folder: Path) -> None:
    assert read_spec(folder, 256).size == 256
    with pytest.raises(
        EngineError, match=r"size 272 does not fit .*: expected a multiple of 16, at least 16 and at most 256"
    ):
        read_spec(folder, 272)
