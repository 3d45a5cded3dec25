"""What every backend does: four calls over batch arrays, in fixed batches, with each prompt encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch

from engines.bundle import Bundle
from engines.calls import TEXT_BATCH, Calls, Lazy, in_batches
from engines.conditioning import Conditioning, empty
from engines.errors import EngineError
from engines.manifest import USUAL_MODE
from engines.marks import Mark, mark
from engines.memory import explained
from engines.pipeline_spec import PipelineSpec

#: Prompts whose embeddings are kept; those of Stable Diffusion take 0.24 MB each.
TEXTS_KEPT = 512
Tokenizer = Callable[[list[str]], torch.Tensor]


class Networks:
    """The networks of a pipeline, ready to run.

    Every backend computes in batches of one static size, so the arithmetic of a batch does not depend on how many rows
    were asked for; a short batch is filled by repeating its last row.

    Attributes
    ----------
    spec
        The pipeline's numbers and words: sizes, classes, groups, scheduler.
    rows
        Batch rows of one UNet call: one an image, or two where guidance is used.
    vae_batch
        Images of one decoder or encoder call.
    device
        Where the tensors that are given and returned are.
    threads
        CPU threads, None on a GPU. With another number the last bits of results may differ.
    base
        The same parts with another denoiser, which may take the first steps of an image: see `engines.base_first`.
    """

    base: Networks | None = None

    def __init__(self, spec: PipelineSpec, calls: Calls, tokenizer: Tokenizer, rows: int, vae_batch: int) -> None:
        self.spec, self.calls, self.rows, self.vae_batch = spec, calls, rows, vae_batch
        self.device, self.threads = calls.device, calls.threads
        self._tokenizer = tokenizer
        self._texts: dict[bytes, Conditioning] = {}

    def mark(self) -> Mark:
        """A mark behind what this thread asked the device for so far."""
        return mark(self.device)

    def one_at_a_time(self) -> None:
        """From now on a network that is opened closes the others: for models that memory holds one part at a time."""
        lazy = self.lazy()
        for call in lazy:
            call.others = [other for other in lazy if other is not call]

    def release(self) -> None:
        """Free the networks of the backends that open them on demand; a later call opens what it needs."""
        for call in self.lazy():
            call.close()

    def lazy(self) -> list[Lazy]:
        """What opens a network when it is first used."""
        return list(self.calls.opened)

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        """Token ids, int64 [n, max_length] on the CPU; longer prompts are cut, as CLIP does."""
        if not prompts:  # which the tokenizer refuses
            return torch.zeros((0, self.spec.max_length), dtype=torch.int64)
        return self._tokenizer(list(prompts))

    def encode_text(self, prompts: Sequence[str], *, negative: bool = False) -> dict[str, torch.Tensor]:
        """The conditioning that prompts give, float32 of n rows each: of Stable Diffusion `text` alone.

        The conditioning of the last distinct prompts is kept, so a prompt that recurs costs nothing.

        Parameters
        ----------
        prompts
            n texts; a text that is too long is cut.
        negative
            They are negative prompts, of which some families take an empty one for zeros.
        """
        found = self.encode_tokens(self.tokenize(prompts))
        dropped = [i for i, prompt in enumerate(prompts) if not prompt]
        if negative and dropped and self.spec.empty_prompt == "zeros":
            for name in found.keys() - self.spec.constants.keys():
                found[name][dropped] = 0
        return found

    def read_ahead(self, prompts: Iterable[str]) -> bool:
        """Encode the distinct prompts of a job, each once and alone, and free the text encoders.

        A prompt that comes later opens them again, so they are freed only where all prompts of the job can be kept.

        Returns
        -------
        bool
            Whether the text encoders are free: the backend opens them on demand, and the prompts are not too many.
        """
        distinct = sorted(set(prompts))
        if not self.calls.texts or len(distinct) > TEXTS_KEPT:
            return False
        for prompt in distinct:
            self.encode_text([prompt])
        self.mark().wait()
        for call in self.calls.texts:
            call.close()
        return True

    def encode_tokens(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """`encode_text` of token ids, int64 [n, max_length].

        Raises
        ------
        EngineError
            The ids have another shape or type.
        """
        spec, expected = self.spec, (self.spec.max_length,)
        if ids.ndim != 2 or tuple(ids.shape[1:]) != expected or ids.dtype != torch.int64:
            raise EngineError(f"token ids must be int64 [n, {expected[0]}], got {ids.dtype} {list(ids.shape)}")
        keys = [row.numpy().tobytes() for row in ids.cpu()]
        new = list(dict.fromkeys(k for k in keys if k not in self._texts))
        for start in range(0, len(new), TEXT_BATCH):
            these = new[start : start + TEXT_BATCH]
            places = [keys.index(key) for key in these] + [keys.index(these[-1])] * (TEXT_BATCH - len(these))
            with explained(f"encoding {TEXT_BATCH} texts"):
                texts = self.calls.text(ids[places].to(self.device))
            for row, key in enumerate(these):
                self._texts[key] = {name: value[row].clone() for name, value in texts.items()}
        found = empty(spec.conditioning, len(keys), self.device)
        for name, number in spec.constants.items():
            found[name] += torch.tensor(number, device=self.device)
        for row, key in enumerate(keys):
            for name, value in self._texts[key].items():
                found[name][row] = value
        for oldest in list(self._texts)[: max(0, len(self._texts) - TEXTS_KEPT)]:
            del self._texts[oldest]
        return found

    def denoise(self, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """The denoiser's prediction for each batch row: float32 [r, latent_channels, h, w], for any r.

        What it predicts (noise, velocity or the clean latents) is `spec.prediction_type`.

        Parameters
        ----------
        latents
            float32 [r, unet_in_channels, h, w]: noisy latents; for inpainting also the mask and the masked latents.
        timesteps
            [r], from 0 to num_train_timesteps, one for each batch row; need not be whole numbers.
        conditioning
            float32 tensors of r rows, with the names and shapes of `spec.conditioning`; from `encode_text`.

        Raises
        ------
        EngineError
            The arrays have other names, shapes, types or devices, or the GPU ran out of memory.
        """
        side = self.spec.latent_size
        self._check("latents", latents, (self.spec.unet_in_channels, side, side), torch.float32)
        if conditioning.keys() != self.spec.conditioning.keys():
            raise EngineError(f"conditioning must be {sorted(self.spec.conditioning)}, got {sorted(conditioning)}")
        arrays = []
        for name, shape in self.spec.conditioning.items():
            self._check(f"conditioning {name}", conditioning[name], tuple(shape), torch.float32)
            arrays.append(conditioning[name])
        if len({len(array) for array in (latents, timesteps, *arrays)}) > 1:
            raise EngineError(
                f"latents, timesteps and conditioning must have equal rows, got {len(latents)}, {len(timesteps)} "
                f"and {', '.join(str(len(array)) for array in arrays)}"
            )
        times = timesteps.to(self.device, torch.float32)
        with explained(f"a denoiser call of {self.rows} batch rows"):
            return in_batches(self.calls.denoise, self.rows, latents, times, *arrays)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """The images of latents: uint8 [n, size, size, 3], RGB.

        Parameters
        ----------
        latents
            float32 [n, latent_channels, h, w] in the UNet's scale, of about unit variance.

        Raises
        ------
        EngineError
            The latents have another shape, type or device, or the GPU ran out of memory.
        """
        side = self.spec.latent_size
        self._check("latents", latents, (self.spec.latent_channels, side, side), torch.float32)
        with explained(f"decoding {self.vae_batch} images"):
            return in_batches(self.calls.decode, self.vae_batch, latents)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """The latents of images, in the UNet's scale: the posterior's mean, float32 [n, latent_channels, h, w].

        Parameters
        ----------
        images
            uint8 [n, size, size, 3], RGB.

        Raises
        ------
        EngineError
            The images have another shape, type or device, or the GPU ran out of memory.
        """
        self._check("images", images, (self.spec.size, self.spec.size, 3), torch.uint8)
        with explained(f"encoding {self.vae_batch} images"):
            return in_batches(self.calls.encode, self.vae_batch, images)

    def _check(self, name: str, value: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        if tuple(value.shape[1:]) != shape or value.dtype != dtype or value.device.type != self.device.type:
            raise EngineError(
                f"{name} must be {dtype} [rows, {', '.join(map(str, shape))}] on {self.device.type}, "
                f"got {value.dtype} {list(value.shape)} on {value.device.type}"
            )


class Engine(Networks):
    """A bundle that is loaded and ready to run; see `Networks` for its other attributes.

    Attributes
    ----------
    tokenizers
        The bundle's own, of transformers, by name.

    Examples
    --------
    The engine computes the pipeline's networks; noise, guidance and the solver's steps are the caller's.

    >>> import engines, torch
    >>> engine = engines.load("bundle")
    >>> side = engine.spec.latent_size
    >>> latents = torch.randn(2, engine.spec.latent_channels, side, side)
    >>> text = engine.encode_text(["An image of plaque, dark skin", ""])
    >>> prediction = engine.denoise(latents, torch.tensor([999.0, 500.0]), text)
    >>> prediction.shape == latents.shape
    True
    >>> images = engine.decode(latents)
    >>> images.shape, images.dtype
    (torch.Size([2, 64, 64, 3]), torch.uint8)
    >>> engine.encode(images).shape == latents.shape
    True
    """

    def __init__(self, bundle: Bundle, backend: str, rows: int, calls: Calls) -> None:
        from engines.checkpoint.tokenizer import bundle_tokenizers
        from engines.text import prompt_ids

        manifest = bundle.manifest
        self.tokenizers = bundle_tokenizers(bundle)
        ids = partial(prompt_ids, manifest.spec, self.tokenizers)
        super().__init__(manifest.spec, calls, ids, rows, manifest.vae_batch)
        self.bundle, self.backend, self.precision = bundle, backend, str(manifest.precision)
        compiles = backend == "torch" and self.device.type == "cuda"
        self.compile_mode = (manifest.compile_mode or USUAL_MODE) if compiles else None
        self.bundle_digest, self.model_digest, self.certified = bundle.digest, manifest.model_digest, manifest.certified
