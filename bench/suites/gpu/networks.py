"""Networks of public shapes with random weights, made where they run in seconds, and this project's engine on them.

Speed does not depend on the values of weights. Nothing is exported, hashed or certified.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.measure.flops import Flops, count_networks
from bench.measure.models import LENGTH, SCHEDULER, TEXT, UNETS, VAE, VOCABULARY, letters_tokenizer
from bench.suites.gpu.effort import device_of
from bench.suites.gpu.results import Job
from engines.backends.torch_compiled import compiled
from engines.backends.torch_eager import Modules, eager
from engines.bundle import Bundle, read_bundle, write_manifest
from engines.compile.precision import DTYPES, lower, lower_vae, vae_dtypes
from engines.engine import Engine
from engines.manifest import CompileMode, Manifest, describe
from engines.pipeline_spec import PipelineSpec

#: What a bundle of random weights has in place of the digest of a pipeline folder.
NO_MODEL = "0" * 64


@dataclass(frozen=True)
class Shapes:
    """The configurations of a pipeline's networks, and the batches of its engine.

    Attributes
    ----------
    rows
        Batch rows of one UNet call: two an image with guidance.
    peer_batch
        Images of a peer's eager batch.
    """

    unet: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, Any]
    rows: int
    vae_batch: int
    peer_batch: int


def _public(name: str) -> Shapes:
    unet = UNETS[name]
    return Shapes(unet, VAE, TEXT[unet["cross_attention_dim"]], rows=32, vae_batch=8, peer_batch=16)


TINY = Shapes(
    unet={**UNETS["sd15"], "block_out_channels": (32, 32, 64, 64), "cross_attention_dim": 32, "sample_size": 8},
    vae={**VAE, "block_out_channels": (32, 32, 32, 32), "layers_per_block": 1, "sample_size": 64},
    text={**TEXT[768], "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4},
    rows=4,
    vae_batch=2,
    peer_batch=2,
)
SHAPES = {"sd15": _public("sd15"), "sd21-base": _public("sd21-base"), "tiny": TINY}


def precision_of(job: Job) -> str:
    """The precision that everything is compared in: half on a GPU."""
    return "fp32" if job.rehearsal else "fp16"


def random_networks(shapes: Shapes, device: torch.device) -> Modules:
    """Text encoder, UNet and autoencoder in float32, the same on every call."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    with torch.device(device):
        text = CLIPTextModel(CLIPTextConfig(**shapes.text, vocab_size=VOCABULARY, max_position_embeddings=LENGTH))
        found = (text, UNet2DConditionModel(**shapes.unet), AutoencoderKL(**shapes.vae))
    encoder, unet, vae = (network.eval().requires_grad_(False) for network in found)
    return Modules({"text_encoder": encoder}, unet, vae)


def spec_of(shapes: Shapes) -> PipelineSpec:
    """The numbers that a sampler needs, as `read_spec` finds them in a folder."""
    from diffusers import DDIMScheduler

    from engines.checkpoint.scheduler import scheduler_settings

    factor = 2 ** (len(shapes.vae["block_out_channels"]) - 1)
    scheduler = scheduler_settings(DDIMScheduler(**SCHEDULER))
    return PipelineSpec(
        size=shapes.unet["sample_size"] * factor,
        latent_channels=shapes.vae["latent_channels"],
        latent_size=shapes.unet["sample_size"],
        unet_in_channels=shapes.unet["in_channels"],
        vae_scale_factor=factor,
        scaling_factor=0.18215,
        shift_factor=0.0,
        prediction_type="epsilon",
        num_train_timesteps=scheduler["num_train_timesteps"],
        scheduler=scheduler,
        family="sd",
        denoiser="unet",
        text_encoders=["text_encoder"],
        tokens={"tokenizer": LENGTH},
        conditioning={"text": (LENGTH, shapes.text["hidden_size"])},
    )


def flops_of(shapes: Shapes) -> Flops:
    """FLOPs of a prompt, a batch row and an image."""
    empty = random_networks(shapes, torch.device("meta"))
    networks = {**empty.text_encoders, "unet": empty.denoiser, "vae": empty.vae}
    return count_networks(networks, spec_of(shapes))


def lowered(networks: Modules, precision: str) -> Modules:
    """The networks in an engine's precision; norms stay in float32."""
    dtype = DTYPES[precision]
    texts = {part: lower(network, dtype) for part, network in networks.text_encoders.items()}
    return Modules(texts, lower(networks.denoiser, dtype), lower_vae(networks.vae, vae_dtypes(dtype)))


def make_engine(job: Job, mode: CompileMode, folder: Path) -> Engine:
    """This project's torch engine over random networks.

    Parameters
    ----------
    mode
        Of compiling. A rehearsal compiles nothing.
    folder
        For the tokenizer and the manifest, as in any bundle.
    """
    shapes, device, precision = SHAPES[job.shapes], device_of(job), precision_of(job)
    modules, spec = lowered(random_networks(shapes, device), precision), spec_of(SHAPES[job.shapes])
    calls = eager(modules, spec, device) if job.rehearsal else compiled(modules, spec, device, mode)
    return Engine(_bundle(folder, shapes, spec, precision, mode), "torch", shapes.rows, calls)


def _bundle(folder: Path, shapes: Shapes, spec: PipelineSpec, precision: str, mode: CompileMode) -> Bundle:
    """A bundle's tokenizer and manifest, without weights."""
    letters_tokenizer().save_pretrained(folder / "tokenizer")
    (folder / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionPipeline", "tokenizer": ["transformers", "CLIPTokenizer"]}\n'
    )
    manifest = Manifest.model_validate(
        {
            "backend": "torch",
            "precision": precision,
            "model_digest": NO_MODEL,
            "facts": spec,
            "rows": shapes.rows,
            "vae_batch": shapes.vae_batch,
            "compile_mode": mode,
            "certified": False,
            "versions": {},
            "artefacts": describe(folder),
        }
    )
    write_manifest(folder, manifest)
    return read_bundle(folder)
