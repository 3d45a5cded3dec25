"""A small decoder compared with the VAE's own on the same latents: how far its images and their tone are off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from dermforge.common.skin_tone import ita, srgb_to_lab
from engines.psnr import psnr

#: dB: that of all images together, and of the worst one.
SMALLEST_PSNR_MEAN, SMALLEST_PSNR_WORST = 30.0, 25.0
#: Degrees of ITA by which the images of a group may be lighter or darker on average. The narrowest tone group is 13
#: degrees wide.
LARGEST_TONE_SHIFT = 1.0
ALL = "all"


class ToneChange(BaseModel):
    """The tone of n images less that of the same images by the VAE's decoder, in degrees of ITA; + is lighter."""

    model_config = ConfigDict(frozen=True)

    n: int
    mean: float
    largest: float


class DecoderParity(BaseModel):
    """The small decoder of an engine and the VAE's in float32, on the latents that diffusers drew.

    Attributes
    ----------
    psnr_worst, psnr_mean
        Of single images, in dB.
    tone
        By skin type, and of all images.
    """

    model_config = ConfigDict(frozen=True)

    n: int
    psnr_worst: float
    psnr_mean: float
    tone: dict[str, ToneChange]
    smallest_psnr_worst: float = SMALLEST_PSNR_WORST
    smallest_psnr_mean: float = SMALLEST_PSNR_MEAN
    largest_tone_shift: float = LARGEST_TONE_SHIFT

    def failures(self) -> list[str]:
        """What does not hold, in words."""
        whose, found = "the small decoder compared with the VAE's", []
        if not self.psnr_mean >= self.smallest_psnr_mean:
            found.append(f"{whose}: mean PSNR {self.psnr_mean:.1f} dB < {self.smallest_psnr_mean:.0f} dB")
        if not self.psnr_worst >= self.smallest_psnr_worst:
            found.append(f"{whose}: worst PSNR {self.psnr_worst:.1f} dB < {self.smallest_psnr_worst:.0f} dB")
        for group, change in self.tone.items():
            if not abs(change.mean) <= self.largest_tone_shift:
                found.append(
                    f"{whose}: images of {group} ({change.n}) are {abs(change.mean):.1f} degrees of ITA "
                    f"{'lighter' if change.mean > 0 else 'darker'} > {self.largest_tone_shift:.0f}"
                )
        return found


def compare_decoders(small: np.ndarray, full: np.ndarray, groups: Sequence[str | None]) -> DecoderParity:
    """Compare images of the same latents by two decoders.

    Parameters
    ----------
    small, full
        uint8 [n, H, W, 3].
    groups
        The skin type of each, [n].
    """
    each = [psnr(*pair) for pair in zip(small, full, strict=True)]
    change = tone_of(small) - tone_of(full)
    of = {ALL: change}
    of |= {name: change[[g == name for g in groups]] for name in dict.fromkeys(g for g in groups if g is not None)}
    return DecoderParity(
        n=len(small),
        psnr_worst=round(min(each), 2),
        psnr_mean=round(float(np.mean(each)), 2),
        tone={name: _change(values) for name, values in of.items()},
    )


def tone_of(images: np.ndarray) -> np.ndarray:
    """The tone of whole images: ITA in degrees of the mean colour in CIELAB, [n].

    Both images of a pair show the same thing, so no bare skin has to be found: a decoder that shifts skin shifts all.
    """
    flat = images.reshape(len(images), -1, 3)
    return np.asarray([ita(srgb_to_lab(pixels / 255.0).mean(axis=0)) for pixels in flat], dtype=np.float64)


def _change(values: np.ndarray) -> ToneChange:
    largest = values[np.abs(values).argmax()]
    return ToneChange(n=len(values), mean=round(float(values.mean()), 3), largest=round(float(largest), 3))
