"""Training the built-in pipeline in stages that resume: encoder, decoder, UNet with text encoder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from dermforge.common.progress import Progress, silent
from dermforge.common.training_log import TrainingLog
from dermforge.common.training_state import Checkpoint, moving_average
from gen.builtin.classifier import perceptual_distance
from gen.builtin.data import CELLS, Images, Phantoms, to_tensor, turned
from gen.builtin.model import PATCH, new_scheduler, new_text_encoder, new_tokenizer, new_unet, prompt_for
from gen.builtin.patch_code import PatchCode

CHECKPOINT_EVERY = 250
LOG = "log.csv"
COLUMNS = ("stage", "step", "samples", "loss", "seconds_since_start_of_stage")
PERCEPTUAL = 0.3  # weight of what a classifier sees, relative to plain differences of pixels
CODE_NOISE = 0.03  # standard deviation; that of the codes is 1


@dataclass(frozen=True)
class Stage:
    """How one stage is trained. decay: of the averaged weights."""

    name: str
    steps: int
    batch: int
    learning_rate: float
    decay: float


@dataclass(frozen=True)
class Budget:
    """Optimiser steps and batch sizes of the stages."""

    encoder_steps: int = 3000
    decoder_steps: int = 2500
    vae_batch: int = 8
    unet_steps: int = 5000
    unet_batch: int = 32
    longer_steps: int = 11000
    longer_batch: int = 64

    @property
    def unet(self) -> Stage:
        return Stage("unet", self.unet_steps, self.unet_batch, 8e-4, 0.999)

    @property
    def unet_longer(self) -> Stage:
        """On from the average of the first stage, with less noise in each step."""
        return Stage("unet-longer", self.longer_steps, self.longer_batch, 6e-4, 0.999)

    def unet_inpaint(self, steps: int) -> Stage:
        """On from the UNet that draws from text."""
        return Stage("unet-inpaint", steps, self.longer_batch, 4e-4, 0.995)


@dataclass(frozen=True)
class Workshop:
    """Where and with what effort the stages are trained.

    Attributes
    ----------
    folder
        Of the checkpoints and the log.
    identity
        JSON values that decide all stages, such as a seed: a stage is resumed only where they are the same.
    checkpoint_every
        Steps between two checkpoints of a stage.
    """

    folder: Path
    budget: Budget
    device: torch.device
    log: TrainingLog
    identity: Mapping[str, object] = field(default_factory=dict)
    progress: Progress = silent
    checkpoint_every: int = CHECKPOINT_EVERY

    def fit(self, stage: Stage, module: nn.Module, loss_at: Callable[[], Tensor]) -> None:
        """Minimise `loss_at()` with AdamW and a cosine schedule; `module` ends with the averaged weights.

        Resumes from FOLDER/name.ckpt.safetensors when it exists.

        Raises
        ------
        UserError
            The checkpoint is damaged, or of a stage of other steps, batches or images.
        """
        optimizer = torch.optim.AdamW(module.parameters(), stage.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
        average = moving_average(module, stage.decay)
        modules = {"weights": module, "average": average}
        identity = asdict(stage) | dict(self.identity)
        checkpoint = Checkpoint(self.folder / f"{stage.name}.ckpt.safetensors", identity, modules, optimizer)
        start = 0
        if saved := checkpoint.load():
            start = int(saved[0]["step"])
            set_random_state(saved[1], self.device)
            self.log.restore(saved[1]["log"])
        begun, recent = time.monotonic(), []
        with self.progress(f"train {stage.name}", stage.steps - start, "steps") as tick:
            for step in range(start, stage.steps):
                for group in optimizer.param_groups:
                    group["lr"] = _rate(stage, step)
                loss = loss_at()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimizer.step()
                average.update_parameters(module)
                recent.append(float(loss.detach()))
                if (step + 1) % 100 == 0:
                    mean, seconds = f"{np.mean(recent):.5f}", f"{time.monotonic() - begun:.0f}"
                    self.log.add(stage.name, step + 1, (step + 1) * stage.batch, mean, seconds)
                    recent = []
                if (step + 1) % self.checkpoint_every == 0 or step + 1 == stage.steps:
                    checkpoint.save({"step": step + 1}, random_state(self.device) | {"log": self.log.state})
                tick(note=f"loss {float(loss.detach()):.4f}")
        module.load_state_dict(average.module.state_dict())
        module.to(self.device).eval()


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Where torch's generators are: the CPU's, and a GPU's own, which draws what is drawn there."""
    own = {"rng_cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"rng": torch.get_rng_state()} | own


def set_random_state(saved: Mapping[str, Tensor], device: torch.device) -> None:
    """Put the generators back; a run that goes on on a GPU after it began on a CPU has none to put back there."""
    torch.set_rng_state(saved["rng"])
    if device.type == "cuda" and "rng_cuda" in saved:
        torch.cuda.set_rng_state(saved["rng_cuda"], device)


def _rate(stage: Stage, step: int) -> float:
    """The learning rate rises over 100 steps, then falls as a cosine to a hundredth."""
    ramp = min(1.0, (step + 1) / 100)
    return stage.learning_rate * ramp * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / stage.steps)))


class _Encoder(nn.Module):
    """The half of an autoencoder that turns images into codes."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.quant_conv(self.encoder(x)).chunk(2, dim=1)[0]
        return out


class _Decoder(nn.Module):
    """The half of an autoencoder that turns codes into images."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.post_quant_conv(z))
        return out


def train_encoder(vae: AutoencoderKL, code: PatchCode, data: Images, workshop: Workshop) -> None:
    """Teach the encoder the code, of whole images and of images with a part greyed out, as inpainting shows them."""
    budget, device = workshop.budget, workshop.device
    encoder = _Encoder(vae).to(device).train()

    def loss_at() -> Tensor:
        x = _batch(data, budget.vae_batch, device)
        x = x * (1 - _rectangles(x, hidden=0.25, all_hidden=0.0))
        out: Tensor = (encoder(x) - code.encode(x)).abs().mean()
        return out

    workshop.fit(Stage("encoder", budget.encoder_steps, budget.vae_batch, 2e-3, 0.995), encoder, loss_at)


def train_decoder(
    vae: AutoencoderKL, code: PatchCode, data: Images, classifier: nn.Module | None, workshop: Workshop
) -> None:
    """Teach the decoder to undo the code: pixels at three scales, and what a classifier sees where there is one.

    A little noise on the codes makes it tolerate small errors of encoder and UNet.
    """
    budget, device = workshop.budget, workshop.device
    decoder = _Decoder(vae).to(device).train()
    if classifier is not None:
        classifier = classifier.to(device).requires_grad_(False)

    def loss_at() -> Tensor:
        x = _batch(data, budget.vae_batch, device)
        z = code.encode(x)
        return _difference(decoder(z + CODE_NOISE * torch.randn_like(z)), x, classifier)

    workshop.fit(Stage("decoder", budget.decoder_steps, budget.vae_batch, 2e-3, 0.995), decoder, loss_at)


def _batch(data: Images, n: int, device: torch.device) -> Tensor:
    return turned(to_tensor(data.images[torch.randint(len(data.images), (n,)).numpy()], device))


def _difference(restored: Tensor, x: Tensor, classifier: nn.Module | None) -> Tensor:
    """L1 at three scales, so that shape counts more than grain, and the perceptual distance."""
    scales = torch.stack([F.avg_pool2d(restored - x, k).abs().mean() for k in (1, 2, 4)])
    if classifier is None:
        return scales.sum()
    return scales.sum() + PERCEPTUAL * perceptual_distance(classifier, x, restored)


class TextUNet(nn.Module):
    """The UNet and the text encoder, trained together."""

    def __init__(self, inpaint: bool = False) -> None:
        super().__init__()
        self.tokenizer = new_tokenizer()
        self.unet = new_unet(inpaint)
        self.text_encoder = new_text_encoder(self.tokenizer)

    def forward(self, x: Tensor, t: Tensor, ids: Tensor) -> Tensor:
        """Predict v; x [b, c, h, w], t [b], ids [b, 16]."""
        out: Tensor = self.unet(x, t, self.text_encoder(ids).last_hidden_state).sample
        return out


def token_ids(unet: TextUNet) -> Tensor:
    """Token ids of every cell's prompt, then of the empty prompt, [37, 16]."""
    prompts = [*(prompt_for(c, g) for c, g in CELLS), ""]
    out: Tensor = unet.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return out


def train_unet(
    code: PatchCode,
    data: Phantoms,
    workshop: Workshop,
    stage: Stage,
    *,
    inpaint: bool = False,
    start_from: TextUNet | None = None,
) -> TextUNet:
    """v-prediction with min-SNR weights (Hang 2023, arXiv 2303.09556), prompts dropped one time in ten.

    The weight has a floor because min-SNR is 0 at a zero terminal SNR, where the skin tone is decided.
    """
    device, batch = workshop.device, stage.batch
    unet = (start_from or TextUNet(inpaint)).to(device)
    ids, labels = token_ids(unet).to(device), torch.from_numpy(data.cells).to(device)
    alphas = new_scheduler().alphas_cumprod.to(device)
    snr = alphas / (1 - alphas).clamp(min=1e-8)
    weights = (snr.clamp(max=5) / (snr + 1)).clamp(min=0.3)

    def loss_at() -> Tensor:
        pick = torch.randint(len(labels), (batch,))
        image = turned(to_tensor(data.images[pick.numpy()], device))
        x = code.encode(image)
        t = ((torch.arange(batch) + torch.rand(batch)) / batch * len(alphas)).long().to(device)
        a = alphas[t, None, None, None]
        noise = torch.randn_like(x)
        noisy, target = a.sqrt() * x + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * x
        if inpaint:
            mask = _rectangles(image, hidden=1.0, all_hidden=0.15)
            noisy = torch.cat([noisy, F.max_pool2d(mask, PATCH), code.encode(image * (1 - mask))], dim=1)
        prompt = torch.where(torch.rand(batch, device=device) < 0.1, len(ids) - 1, labels[pick.to(device)])
        error = (unet(noisy, t, ids[prompt]) - target).square().mean((1, 2, 3))
        out: Tensor = (error * weights[t]).mean()
        return out

    workshop.fit(stage, unet, loss_at)
    return unet


def _rectangles(x: Tensor, *, hidden: float, all_hidden: float) -> Tensor:
    """Masks, [b, 1, h, w]: a random rectangle in a share `hidden` of the images, the whole of a share `all_hidden`."""
    b, _, h, w = x.shape
    low, high = torch.rand(2, b, 2, 1, device=x.device).sort(dim=0).values
    rows, columns = torch.arange(h, device=x.device) / h, torch.arange(w, device=x.device) / w
    inside_y = (rows >= low[:, 0]) & (rows < high[:, 0])
    inside_x = (columns >= low[:, 1]) & (columns < high[:, 1])
    mask = (inside_y[:, :, None] & inside_x[:, None, :]).float()[:, None]
    some, every = torch.rand(2, b, 1, 1, 1, device=x.device)
    return torch.where(every < all_hidden, torch.ones_like(mask), mask * (some < hidden))


def expand_for_inpainting(trained: TextUNet) -> TextUNet:
    """An inpainting copy that starts as the trained UNet: the weights of its new input channels are zero."""
    grown = TextUNet(inpaint=True)
    state = trained.state_dict()
    narrow = state["unet.conv_in.weight"]
    wide = torch.zeros_like(grown.state_dict()["unet.conv_in.weight"])
    wide[:, : narrow.shape[1]] = narrow
    grown.load_state_dict(state | {"unet.conv_in.weight": wide})
    return grown
