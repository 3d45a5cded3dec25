"""torch-fidelity's Inception with our weights' file: its features, its FID, its KID."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dermforge.common.errors import UserError
from evalsuite.images.features.extract import Preprocess, extract
from evalsuite.images.features.extractors import open_extractor
from evalsuite.images.image_data import array_images
from evalsuite.images.quality.fid import frechet_distance, moments
from evalsuite.images.quality.kid import kid_over_subsets

pytest.importorskip("torch_fidelity")


def weights(folder: Path) -> tuple[Path, Path]:
    """The same random weights as torch-fidelity reads them and as we do."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    torch.manual_seed(0)
    pickle, safe = folder / "inception.pth", folder / "inception.safetensors"
    made: dict[str, torch.Tensor] = {}

    class Random(theirs.FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: object, **__: object) -> None:  # keeps what torch has drawn
            made.update({name: value.clone() for name, value in self.state_dict().items()})
            for name, value in made.items():
                if name.endswith("conv.weight"):  # so that what is different stays different through 94 layers
                    value.normal_(0, (2 / value[0].numel()) ** 0.5)

    torch.save({}, pickle)
    Random("random", ["2048"], feature_extractor_weights_path=str(pickle))
    torch.save(made, pickle)
    save_file(made, safe)
    return pickle, safe


def test_fid_and_kid_are_torch_fidelitys_on_its_own_settings(tmp_path: Path) -> None:
    """From the images on, with the same weights: 40 px, no JPEG, its own resize to 299 px."""
    from torch_fidelity import calculate_metrics
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    pickle, safe = weights(tmp_path)
    rng = np.random.default_rng(0)
    sides = [rng.integers(0, high, (6, 40, 40, 3)).astype(np.uint8) for high in (256, 180)]
    ours = open_extractor(f"inception={safe}")
    step = Preprocess(40, None)
    found = [extract(array_images(side), ours, step, tmp_path).take() for side in sides]

    class Images(torch.utils.data.Dataset):
        def __init__(self, side: np.ndarray) -> None:
            self.side = side

        def __len__(self) -> int:
            return len(self.side)

        def __getitem__(self, i: int) -> torch.Tensor:
            return torch.from_numpy(self.side[i]).permute(2, 0, 1)

    theirs = calculate_metrics(
        input1=Images(sides[0]),
        input2=Images(sides[1]),
        kid=True,
        kid_subset_size=5,
        kid_subsets=10,
        feature_extractor_weights_path=str(pickle),
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    kid = kid_over_subsets(found[0], found[1], 5, 10, 2020)
    assert kid == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert abs(kid) > 1e-4
    few = [side[:, ::64] for side in found]  # a square root of 2048 x 2048 takes half a minute here
    by_theirs = fid_statistics_to_metric(*(fid_features_to_statistics(torch.from_numpy(s)) for s in few), False)
    by_ours = frechet_distance(*(moments(side) for side in few))
    assert by_ours == pytest.approx(by_theirs["frechet_inception_distance"], rel=1e-4)
    assert by_ours > 1e-3
    assert ours.metric("FD").startswith("FD[inception@")  # a converted file may be anybody's, so it is not called FID


def test_other_weights_are_refused(tmp_path: Path) -> None:
    save_file({"fc.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="does not fit torch-fidelity's Inception"):
        open_extractor(f"inception={tmp_path / 'other.safetensors'}")
