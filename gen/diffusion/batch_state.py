"""Images in slots of fixed tensors, and one denoising step of all of them: UNet, guidance, solvers.

The step is a function of tensors whose shapes never change, and it reads nothing back. So on CUDA it is recorded once,
with the UNet, and replayed as one graph; elsewhere the same function runs as it is. What changes from step to step
comes from the host in four small arrays, copied from page-locked memory: the CPU never waits for a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engines.backends.cuda_graph import captured
from engines.calls import Call
from engines.conditioning import Conditioning, empty
from engines.engine import Networks
from gen.diffusion.steps import TERMS, SolverState, combine

#: What a step needs of a slot: the solver's coefficients; the guidance scale and whether this step is guided; whether
#: this call completes the slot's step; the scales of clean latents and noise that are held outside an inpainting mask.
STEP_COLUMNS = (*TERMS, "guidance", "guided", "advances", "held_clean", "held_noise")


class BatchState:
    """As many images as the calls of an engine's denoisers have rows together.

    Attributes
    ----------
    runs
        A step by the engine's denoiser and, where it has one, a step by its base's.
    state
        Of the solvers, each tensor [n, C, h, w].
    extra
        Further channels of the UNet's input, for inpainting models [n, 1 + C, h, w], else of no channels.
    texts, outputs
        Conditioning given to the denoiser and what it returned, for slot i in rows 2 i (conditional) and 2 i + 1
        (unconditional); one more row at the end is for batch rows that are unused.
    noise
        For solvers that inject it, [n, C, h, w].
    clean, start, redraw
        For inpainting with other models: latents to hold, their noise, and where to redraw [n, 1, h, w].
    """

    def __init__(self, engine: Networks) -> None:
        spec, self.device, self.rows = engine.spec, engine.device, engine.rows
        denoisers = [engine] if engine.base is None else [engine, engine.base]
        self.n = self.rows * len(denoisers)
        self.latent = (spec.latent_channels, spec.latent_size, spec.latent_size)

        def zeros(n: int, *shape: int) -> torch.Tensor:
            return torch.zeros(n, *shape, device=self.device)

        self.state = SolverState(*(zeros(self.n, *self.latent) for _ in range(4)))
        self.extra = zeros(self.n, spec.unet_in_channels - spec.latent_channels, *self.latent[1:])
        self.texts = empty(spec.conditioning, 2 * self.n + 1, self.device)
        self.outputs = zeros(2 * self.n + 1, *self.latent)
        self.noise, self.clean, self.start = (zeros(self.n, *self.latent) for _ in range(3))
        self.redraw = zeros(self.n, 1, *self.latent[1:]) == 0
        idle = [self.upload(array) for array in self.idle()]
        self.runs: list[Call] = []
        for one in denoisers:
            takes, recordable = list(one.spec.conditioning), one.calls.recordable
            self.runs.append(
                captured(partial(self.step, recordable, takes), *idle)
                if recordable is not None
                else partial(self.step, one.calls.denoise, takes)
            )

    @property
    def run(self) -> Call:
        """A step by the engine's own denoiser."""
        return self.runs[0]

    def idle(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The arrays of `step` for a call that changes no slot: rows, places, timesteps, settings."""
        return (
            np.zeros(self.rows, dtype=np.int64),
            np.full(self.rows, 2 * self.n, dtype=np.int64),
            np.zeros(self.rows, dtype=np.float32),
            np.zeros((self.n, len(STEP_COLUMNS)), dtype=np.float32),
        )

    def tell(self, row: int, conditioning: Conditioning) -> None:
        """Put the conditioning of one batch row, [...] each, into a row of `texts`."""
        for name, buffer in self.texts.items():
            buffer[row] = conditioning[name]

    def upload(self, array: NDArray[Any] | torch.Tensor) -> torch.Tensor:
        """Copy an array to the device without waiting; torch keeps the page-locked copy until it was read."""
        host = torch.as_tensor(array)
        if self.device.type == "cuda" and host.device.type == "cpu":
            return host.pin_memory().to(self.device, non_blocking=True)
        return host.to(self.device)

    def step(
        self,
        unet: Call,
        takes: Sequence[str],
        rows: torch.Tensor,
        places: torch.Tensor,
        timesteps: torch.Tensor,
        settings: torch.Tensor,
    ) -> torch.Tensor:
        """One UNet call, and the solvers' update of each slot whose step it completes.

        Parameters
        ----------
        unet
            Of exactly `self.rows` rows.
        takes
            The names of the conditioning that it takes.
        rows, places
            int64 [rows]: the slot that each batch row's latents are taken from, and its row of `texts` and `outputs`.
        timesteps
            float32 [rows].
        settings
            float32 [n, 16], for each slot what `STEP_COLUMNS` names.

        Returns
        -------
        torch.Tensor
            `state.x`.
        """
        x = self.state.x.index_select(0, rows)
        if self.extra.shape[1]:
            x = torch.cat([x, self.extra.index_select(0, rows)], dim=1)
        given = [self.texts[name].index_select(0, places) for name in takes]
        self.outputs.index_copy_(0, places, unet(x, timesteps, *given))
        terms = len(TERMS)
        guidance, guided, advances, held_clean, held_noise = settings.T[terms:, :, None, None, None]
        conditional, unconditional = self.outputs[:-1:2], self.outputs[1::2]
        # Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598).
        mixed = unconditional + guidance * (conditional - unconditional)
        out = torch.where(guided > 0, mixed, conditional)
        new = combine(settings[:, :terms], self.state, out, self.noise)
        new.x = torch.where(self.redraw, new.x, held_clean * self.clean + held_noise * self.start)
        old = (self.state.x, self.state.base, self.state.d1, self.state.d2)
        changed = [
            torch.where(advances > 0, value, buffer)
            for value, buffer in zip((new.x, new.base, new.d1, new.d2), old, strict=True)
        ]
        for buffer, value in zip(old, changed, strict=True):
            buffer.copy_(value)
        return self.state.x
