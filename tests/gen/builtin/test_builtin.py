"""The built-in pipeline: an ordinary diffusers folder, small, and trained by a trainer that resumes exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionPipeline
from torch.optim.swa_utils import AveragedModel

from dermforge.common.id_ranges import count, overlap
from dermforge.common.skin_tone import TONE_GROUPS
from gen.builtin import pipeline_folder
from gen.builtin.assemble import assemble
from gen.builtin.classifier import perceptual_distance, train_classifier
from gen.builtin.data import CELLS, Phantoms, phantoms, to_tensor
from gen.builtin.model import LATENT_CHANNELS, LATENT_SIZE, MAX_LENGTH, PATCH, new_tokenizer, new_vae, prompt_for
from gen.builtin.patch_code import fit_code
from gen.builtin.train_stages import Budget, TextUNet, expand_for_inpainting, train_decoder, train_encoder, train_unet
from gen.phantoms import CLASSES
from gen.phantoms.dataset import phantom_id

CPU = torch.device("cpu")
LATENT = (LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)


def test_the_committed_folder_is_small_and_holds_no_pickle() -> None:
    files = [p for p in pipeline_folder().rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files if p.suffix == ".safetensors") <= 25e6
    assert not [p for p in files if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]


def test_diffusers_loads_and_samples_the_committed_folder() -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(pipeline_folder())
    assert pipeline.unet.dtype == pipeline.vae.dtype == pipeline.text_encoder.dtype == torch.float32
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline(
        prompt_for("plaque", "tan"),
        num_inference_steps=8,
        guidance_scale=3.0,
        height=64,
        width=64,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images[0]
    assert image.shape == (64, 64, 3)
    assert image.std() > 0.01


def test_its_lineage_names_its_training_phantoms() -> None:
    facts = json.loads((pipeline_folder() / "dermforge.json").read_text(encoding="utf-8"))
    n = count(facts["lineage"]) // len(CELLS)
    seen, unseen = phantom_id("plaque", "tan", n - 1), phantom_id("plaque", "tan", n)
    assert overlap([seen, unseen], facts["lineage"]) == [seen]
    assert (facts["classes"], facts["groups"]) == (list(CLASSES), list(TONE_GROUPS))


def test_every_prompt_fits_and_is_told_from_the_others() -> None:
    tokenizer = new_tokenizer()
    for cls, group in CELLS:
        tokens = tokenizer.tokenize(prompt_for(cls, group))
        assert len(tokens) + 2 <= MAX_LENGTH, tokens
        assert tokenizer.unk_token not in tokens
    ids = [tuple(tokenizer(prompt_for(c, g)).input_ids) for c, g in CELLS]
    assert len(set(ids)) == len(CELLS)


@pytest.fixture
def training(tmp_path: Path) -> tuple[Path, Budget]:
    return tmp_path, Budget(encoder_steps=3, decoder_steps=2, vae_batch=2, unet_steps=4, unet_batch=4)


def test_a_run_cut_short_ends_with_the_same_weights(
    training: tuple[Path, Budget], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resuming restores weights, averages, moments and the random state: bit for bit."""
    folder, budget = training
    monkeypatch.setattr("gen.builtin.train_stages.CHECKPOINT_EVERY", 2)
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    data = Phantoms(images, np.arange(40) % 36, np.zeros(40))
    code = fit_code(data, PATCH, LATENT_CHANNELS)

    def run(where: str, steps: int) -> dict[str, torch.Tensor]:
        (folder / where).mkdir(exist_ok=True)
        torch.manual_seed(1)
        changed = Budget(unet_steps=steps, unet_batch=budget.unet_batch)
        return train_unet(code, data, folder / where, changed, CPU).state_dict()

    whole = run("whole", 4)
    with monkeypatch.context() as patch:
        patch.setattr("gen.builtin.train_stages._log", lambda *_: None)
        interrupted = _Interrupt(after=3)
        patch.setattr(AveragedModel, "update_parameters", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("cut", 4)
    resumed = run("cut", 4)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


class _Interrupt:
    """Ctrl-C in the middle of a step."""

    def __init__(self, after: int) -> None:
        self.left, self.update = after, AveragedModel.update_parameters

    def __get__(self, instance: object, owner: type) -> object:
        def update(module: torch.nn.Module) -> None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            self.update(instance, module)  # type: ignore[arg-type]

        return update


def test_all_stages_end_in_a_loadable_folder(training: tuple[Path, Budget]) -> None:
    folder, budget = training
    data = phantoms(1, 5, folder / "phantoms.npz")
    classifier = train_classifier(data, 6, 2)
    code = fit_code(data, PATCH, LATENT_CHANNELS)
    vae = new_vae()
    train_encoder(vae, code, data, folder, budget, CPU)
    train_decoder(vae, code, data, classifier, folder, budget, CPU)
    (folder / "log.csv").touch()
    for inpaint in (False, True):
        denoiser = train_unet(code, data, folder, budget, CPU, inpaint=inpaint)
        out = folder / f"out-{inpaint}"
        assemble(vae, denoiser, out, per_cell=1, budget=budget, log=folder / "log.csv", inpaint=inpaint)
        loaded = (StableDiffusionInpaintPipeline if inpaint else StableDiffusionPipeline).from_pretrained(out)
        assert loaded.vae.config.scaling_factor == 1
        vae.float()


def test_the_code_is_white_and_keeps_the_most_that_a_patch_can(tmp_path: Path) -> None:
    """Unit variance without correlation; of all four numbers a patch, its components restore it best."""
    data = phantoms(2, 7)
    x = to_tensor(data.images)
    code, whole = (fit_code(data, PATCH, n) for n in (LATENT_CHANNELS, 3 * PATCH**2))
    z = code.encode(x)
    assert z.shape == (len(x), *LATENT)
    torch.testing.assert_close(torch.cov(z.movedim(1, 0).flatten(1)), torch.eye(LATENT_CHANNELS), atol=1e-3, rtol=0)
    torch.testing.assert_close(whole.encode(x)[:, :LATENT_CHANNELS], z)
    left = [_unexplained(x, whole.encode(x)[:, i : i + LATENT_CHANNELS]) for i in (0, 1)]
    assert left[0] < left[1]
    assert _unexplained(x, whole.encode(x)) < 1e-6
    first = fit_code(data, PATCH, LATENT_CHANNELS, tmp_path / "code.safetensors")
    again = fit_code(data, PATCH, LATENT_CHANNELS, tmp_path / "code.safetensors")
    assert torch.equal(first.basis, again.basis)


def _unexplained(x: torch.Tensor, z: torch.Tensor) -> float:
    """Mean square of the patches of x that no linear function of their codes z gives."""
    patches = torch.nn.functional.pixel_unshuffle(x, PATCH).movedim(1, -1).flatten(0, 2)
    codes = z.movedim(1, -1).flatten(0, 2)
    known = torch.cat([codes, torch.ones(len(codes), 1)], 1)
    fitted = known @ torch.linalg.lstsq(known, patches).solution
    return float((patches - fitted).square().mean())


def test_the_inpainting_unet_starts_as_the_trained_one() -> None:
    """Whatever stands in the new channels, the first prediction is the trained model's."""
    torch.manual_seed(0)
    trained = TextUNet().eval()
    wide = expand_for_inpainting(trained).eval()
    x, t, ids = torch.randn(2, *LATENT), torch.tensor([10, 900]), torch.zeros(2, MAX_LENGTH, dtype=torch.long)
    more = torch.randn(2, 1 + LATENT_CHANNELS, *LATENT[1:])
    with torch.no_grad():
        torch.testing.assert_close(wide(torch.cat([x, more], 1), t, ids), trained(x, t, ids))


def test_the_perceptual_distance_sees_a_lesion_that_pixels_hardly_do() -> None:
    """Nothing for equal images; more for a lesion gone than for as large a change of brightness."""
    net = train_classifier(phantoms(4, 50_000), 24, 60)
    x = to_tensor(phantoms(1, 60_000).images)
    flat = x.mean((2, 3), keepdim=True).expand_as(x)
    brighter = x + (flat - x).abs().mean()
    assert perceptual_distance(net, x, x).item() == 0
    assert perceptual_distance(net, x, flat) > 2 * perceptual_distance(net, x, brighter)
