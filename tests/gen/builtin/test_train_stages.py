"""A stage that is cut short and resumed ends in the same weights, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from dermforge.common.training_log import TrainingLog
from gen.builtin.data import Phantoms
from gen.builtin.model import LATENT_CHANNELS, LATENT_SIZE, MAX_LENGTH, PATCH
from gen.builtin.patch_code import fit_code
from gen.builtin.train_stages import COLUMNS, LOG, Budget, TextUNet, Workshop, expand_for_inpainting, train_unet

LATENT = (LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)


def test_a_run_cut_short_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resuming restores weights, averages, moments and the random state."""
    monkeypatch.setattr("gen.builtin.train_stages.CHECKPOINT_EVERY", 2)
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    data = Phantoms(images, np.arange(40) % 36, np.zeros(40))
    code = fit_code(data, PATCH, LATENT_CHANNELS)

    def run(where: str) -> dict[str, torch.Tensor]:
        (tmp_path / where).mkdir(exist_ok=True)
        torch.manual_seed(1)
        log = TrainingLog(tmp_path / where / LOG, COLUMNS)
        workshop = Workshop(tmp_path / where, Budget(unet_steps=4, unet_batch=4), torch.device("cpu"), log)
        return train_unet(code, data, workshop).state_dict()

    whole, update, updates = run("whole"), AveragedModel.update_parameters, 0

    def interrupted(average: AveragedModel, module: torch.nn.Module) -> None:
        """Ctrl-C in the middle of the third step."""
        nonlocal updates
        updates += 1
        if updates == 3:
            raise KeyboardInterrupt
        update(average, module)

    with monkeypatch.context() as patch:
        patch.setattr(AveragedModel, "update_parameters", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("cut")
    resumed = run("cut")
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_the_inpainting_unet_starts_as_the_trained_one() -> None:
    """Whatever stands in the new channels, the first prediction is the trained model's."""
    torch.manual_seed(0)
    trained = TextUNet().eval()
    wide = expand_for_inpainting(trained).eval()
    x, t, ids = torch.randn(2, *LATENT), torch.tensor([10, 900]), torch.zeros(2, MAX_LENGTH, dtype=torch.long)
    more = torch.randn(2, 1 + LATENT_CHANNELS, *LATENT[1:])
    with torch.no_grad():
        torch.testing.assert_close(wide(torch.cat([x, more], 1), t, ids), trained(x, t, ids))
