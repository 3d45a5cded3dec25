"""Plan rows to images in memory: the sampler's parts in one thread, without files."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from engines.engine import Networks
from gen.diffusion.denoising_loop import DenoisingLoop, InFlightImage
from gen.plan.parents import Parents
from gen.plan.plan import PlanRow
from gen.sampling.prepare import Preparer


def sample_images(
    engine: Networks, rows: Sequence[PlanRow], parents: Parents | None = None, loop: DenoisingLoop | None = None
) -> NDArray[np.uint8]:
    """The images of plan rows in their order, uint8 [n, size, size, 3]; the same pixels as `Sampler` writes.

    Parameters
    ----------
    parents
        Real images, for the strategies that start from them.
    loop
        Of the engine, from `warm_up`, where it serves several calls; None to make one.
    """
    preparer, loop = Preparer(engine, parents), loop or DenoisingLoop(engine)
    loop.restart()
    size, batch = engine.spec.size, engine.vae_batch
    new = (preparer.new(number, row) for number, row in enumerate(rows))
    back: list[InFlightImage] = []  # images that have another phase to go through
    ready: deque[InFlightImage] = deque()
    denoised: list[InFlightImage] = []
    images = np.empty((len(rows), size, size, 3), np.uint8)
    while True:
        while loop.hungry:
            if not ready:
                ready.extend(back or islice(new, batch))
                preparer.start(ready)
                back = []
            if not ready:
                break
            loop.admit(ready.popleft())
        if loop.busy:
            denoised += loop.step()
        elif not denoised:
            return images
        while len(denoised) >= batch or (denoised and not loop.busy):
            some, denoised = denoised[:batch], denoised[batch:]
            latents = torch.stack([image.latents for image in some if image.latents is not None])
            for image, pixels in zip(some, engine.decode(latents).cpu().numpy(), strict=True):
                finished = image.end_phase(pixels)
                if finished is None:
                    back.append(image)
                else:
                    images[image.number] = finished
