"""torch-fidelity's Inception v3, with weights from a safetensors file instead of its own download of a pickle."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dermforge.common.errors import UserError
from dermforge.common.extras import how_to_install
from evalsuite.images.features.extractors import Extractor, Images, read_weights
from evalsuite.images.features.presets import Preset


def inception(preset: Preset, file: Path, device: str = "cpu") -> Extractor:
    """2048 pooled features of uint8 images of any size, which the network itself brings to 299 px as TensorFlow 1 did.

    Its name holds the digest of the file, and no number is called FID: nobody knows the digest of a converted file.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise UserError(f"{preset.name} needs torch-fidelity: {how_to_install('quality')}") from error
    digest, weights = read_weights(file, None)
    own = io.BytesIO()  # its constructor takes no tensors, only something to unpickle: these bytes are written here
    torch.save(weights, own)
    own.seek(0)
    try:
        network = FeatureExtractorInceptionV3(preset.name, ["2048"], feature_extractor_weights_path=own).to(device)
    except RuntimeError as error:  # other names or shapes
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file} does not fit torch-fidelity's Inception ({reason}): another model's file?") from error

    @torch.inference_mode()
    def embed(images: Images) -> NDArray[np.float32]:
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)
        return np.asarray(network(pixels)[0].float().cpu().numpy())

    return Extractor(f"{preset.name}@{digest[:8]}", f"torch-fidelity/{digest}", embed)
