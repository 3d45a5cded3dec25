"""What every backend does: four calls over batch arrays, in fixed rows, with prompts encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from engines.bundle import Bundle
from engines.errors import EngineError
from engines.memory import explained
from engines.pipeline_spec import PipelineSpec

TEXT_BATCH = 8
#: Prompts whose embeddings are kept; those of Stable Diffusion take 0.24 MB each.
TEXTS_KEPT = 512
Call = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Calls:
    """What a backend supplies: four functions over exactly one static batch, which may return a reused buffer."""

    text: Call  # int64 [TEXT_BATCH, max_length] -> float32 [TEXT_BATCH, max_length, text_dim]
    unet: Call  # latents, timesteps (float32), conditioning, each of `rows` rows -> float32
    decode: Call  # [vae_batch, latent_channels, h, w] -> uint8 [vae_batch, size, size, 3]
    encode: Call  # the other way round
    device: torch.device
    threads: int | None = None  # on a CPU, where another number sums in another order
    recordable: Call | None = None  # the UNet as kernels launched on the current stream, for a larger CUDA graph


def lazily(open_call: Callable[[], Call]) -> Call:
    """A call that is opened when it is first made: most jobs never encode an image."""
    opened: list[Call] = []

    def call(*arrays: torch.Tensor) -> torch.Tensor:
        if not opened:
            opened.append(open_call())
        return opened[0](*arrays)

    return call


class Engine:
    """A bundle that is loaded and ready to run.

    Every backend computes in batches of one static size, so a batch's arithmetic does not depend on how many rows
    were asked for; a short batch is filled by repeating its last row.

    Attributes
    ----------
    spec
        The pipeline's numbers and words.
    rows
        Rows of one UNet call. Twice the images of a batch where guidance is used.
    vae_batch
        Images of one decoder or encoder call.
    device
        Where the tensors that are given and returned live.
    threads
        CPU threads, None on a GPU; with another number the last bits may be others.
    """

    def __init__(self, bundle: Bundle, backend: str, rows: int, calls: Calls) -> None:
        self.bundle = bundle
        self.backend = backend
        self.spec: PipelineSpec = bundle.manifest.spec
        self.bundle_digest = bundle.digest
        self.model_digest = bundle.manifest.model_digest
        self.certified = bundle.manifest.certified
        self.precision: str = bundle.manifest.precision
        self.rows = rows
        self.vae_batch = bundle.manifest.vae_batch
        self.device, self.threads = calls.device, calls.threads
        self.calls = calls
        self._tokenizer = load_tokenizer(bundle)
        self._texts: dict[bytes, torch.Tensor] = {}

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        """Token ids, int64 [n, max_length]; longer prompts are cut, as CLIP does."""
        return self._tokenizer(list(prompts))

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings of token ids: float32 [n, max_length, text_dim]. The last distinct prompts are kept.

        Parameters
        ----------
        ids
            int64 [n, max_length].
        """
        expected = (self.spec.max_length,)
        if ids.ndim != 2 or tuple(ids.shape[1:]) != expected or ids.dtype != torch.int64:
            raise EngineError(f"token ids must be int64 [n, {expected[0]}], got {ids.dtype} {list(ids.shape)}")
        keys = [row.numpy().tobytes() for row in ids.cpu()]
        new = list(dict.fromkeys(k for k in keys if k not in self._texts))
        if new:
            first = ids[[keys.index(k) for k in new]].to(self.device)
            for key, text in zip(new, in_batches(self.calls.text, TEXT_BATCH, first), strict=True):
                self._texts[key] = text.clone()
        if not keys:
            return ids.new_zeros((0, self.spec.max_length, self.spec.text_dim), dtype=torch.float32)
        texts = torch.stack([self._texts[k] for k in keys])
        for oldest in list(self._texts)[: max(0, len(self._texts) - TEXTS_KEPT)]:
            del self._texts[oldest]
        return texts

    def unet(self, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        """The UNet's output: float32 [r, latent_channels, h, w], for any r.

        Parameters
        ----------
        latents
            float32 [r, unet_in_channels, h, w]: noisy latents, with mask and masked latents for inpainting.
        timesteps
            [r], between 0 and num_train_timesteps; each row has its own.
        conditioning
            float32 [r, max_length, text_dim], of `encode_text`.
        """
        side = self.spec.latent_size
        self._check("latents", latents, (self.spec.unet_in_channels, side, side), torch.float32)
        self._check("conditioning", conditioning, (self.spec.max_length, self.spec.text_dim), torch.float32)
        if len(latents) != len(timesteps) or len(latents) != len(conditioning):
            raise EngineError(
                f"latents, timesteps and conditioning must have equal rows, got {len(latents)}, {len(timesteps)} "
                f"and {len(conditioning)}"
            )
        times = timesteps.to(self.device, torch.float32)
        with explained(f"a UNet call of {self.rows} rows"):
            return in_batches(self.calls.unet, self.rows, latents, times, conditioning)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images of latents in UNet scale [n, latent_channels, h, w]: uint8 [n, size, size, 3]."""
        side = self.spec.latent_size
        self._check("latents", latents, (self.spec.latent_channels, side, side), torch.float32)
        with explained(f"decoding {self.vae_batch} images"):
            return in_batches(self.calls.decode, self.vae_batch, latents)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latents in UNet scale (the posterior's mean) of uint8 images [n, size, size, 3]."""
        self._check("images", images, (self.spec.size, self.spec.size, 3), torch.uint8)
        with explained(f"encoding {self.vae_batch} images"):
            return in_batches(self.calls.encode, self.vae_batch, images)

    def _check(self, name: str, value: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        if tuple(value.shape[1:]) != shape or value.dtype != dtype or value.device.type != self.device.type:
            raise EngineError(
                f"{name} must be {dtype} [rows, {', '.join(map(str, shape))}] on {self.device.type}, "
                f"got {value.dtype} {list(value.shape)} on {value.device.type}"
            )


def load_tokenizer(bundle: Bundle) -> Callable[[list[str]], torch.Tensor]:
    """The bundle's own tokenizer: prompts -> int64 [n, max_length]."""
    from transformers import CLIPTokenizer

    bundle.verify(a for a in bundle.find("config") if a.path.startswith("tokenizer/"))
    tokenizer = CLIPTokenizer.from_pretrained(bundle.folder / "tokenizer")

    def tokenize(prompts: list[str]) -> torch.Tensor:
        return tokenizer(
            prompts,
            padding="max_length",
            max_length=bundle.manifest.spec.max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids

    return tokenize


def in_batches(call: Call, size: int, *arrays: torch.Tensor) -> torch.Tensor:
    """Run a static-batch call over any number of rows: cut, fill up the last batch, join.

    A call may return its own fixed buffer; rows are copied out before the next batch is run.
    """
    n = len(arrays[0])
    if n == size:
        return call(*arrays).clone()
    out: torch.Tensor | None = None
    for start in range(0, n, size):
        cut = [a[start : start + size] for a in arrays]
        filled = len(cut[0])
        if filled < size:
            cut = [torch.cat([a, a[-1:].expand(size - filled, *a.shape[1:])]) for a in cut]
        part = call(*cut)
        if out is None:
            out = part.new_empty((n, *part.shape[1:]))
        out[start : start + filled] = part[:filled]
    if out is None:
        return call(*[a.new_zeros((size, *a.shape[1:])) for a in arrays])[:0].clone()
    return out
