"""A stage that is cut short and resumed ends in the same weights, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from dermforge.common.training_log import TrainingLog
from dermforge.common.training_state import Checkpoint, moving_average
from gen.builtin.data import Phantoms
from gen.builtin.model import LATENT_CHANNELS, LATENT_SIZE, MAX_LENGTH, PATCH
from gen.builtin.patch_code import fit_code
from gen.builtin.train_stages import (
    COLUMNS,
    LOG,
    Budget,
    TextUNet,
    Workshop,
    expand_for_inpainting,
    random_state,
    set_random_state,
    train_unet,
)

LATENT = (LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)


def test_a_run_cut_short_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resuming restores weights, averages, moments and the random state."""
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    data = Phantoms(images, np.arange(40) % 36, np.zeros(40))
    code = fit_code(data, PATCH, LATENT_CHANNELS)

    def run(where: str) -> dict[str, torch.Tensor]:
        (tmp_path / where).mkdir(exist_ok=True)
        torch.manual_seed(1)
        log, budget = TrainingLog(tmp_path / where / LOG, COLUMNS), Budget(unet_steps=4, unet_batch=4)
        workshop = Workshop(tmp_path / where, budget, torch.device("cpu"), log, checkpoint_every=2)
        return train_unet(code, data, workshop, budget.unet).state_dict()

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


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")
def test_a_resumed_stage_stays_on_its_device(tmp_path: Path) -> None:
    """Weights, averages and moments: what is read lands on the CPU first. The meta device stands for CUDA."""

    def opened(device: str) -> tuple[Checkpoint, torch.nn.Module, AveragedModel, torch.optim.AdamW]:
        with torch.device(device):
            net = torch.nn.Linear(3, 2)
        average, optimizer = moving_average(net, 0.9), torch.optim.AdamW(net.parameters())
        return Checkpoint(tmp_path / "x", {}, {"weights": net, "average": average}, optimizer), net, average, optimizer

    checkpoint, net, _, optimizer = opened("cpu")
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint.save({"step": 1})
    resumed, net, average, optimizer = opened("meta")
    resumed.load()
    moments = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    tensors = [*net.parameters(), *average.module.parameters(), *moments]
    assert len(tensors) == 8
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_the_generator_of_a_gpu_is_saved_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise and masks are drawn on the device: without its generator a resumed run would draw others."""
    states = {"cuda:1": torch.arange(3)}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[str(device)])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: states.update({str(device): state}))
    gpu, before = torch.device("cuda", 1), torch.get_rng_state()
    saved = random_state(gpu)
    states["cuda:1"] = torch.zeros(3)
    torch.rand(1)
    set_random_state(saved, gpu)
    assert states["cuda:1"].tolist() == [0, 1, 2]
    assert torch.equal(torch.get_rng_state(), before)
    set_random_state(random_state(torch.device("cpu")), gpu)  # begun on a CPU
    assert set(random_state(torch.device("cpu"))) == {"rng"}


def test_the_inpainting_unet_starts_as_the_trained_one() -> None:
    """Whatever stands in the new channels, the first prediction is the trained model's."""
    torch.manual_seed(0)
    trained = TextUNet().eval()
    wide = expand_for_inpainting(trained).eval()
    x, t, ids = torch.randn(2, *LATENT), torch.tensor([10, 900]), torch.zeros(2, MAX_LENGTH, dtype=torch.long)
    more = torch.randn(2, 1 + LATENT_CHANNELS, *LATENT[1:])
    with torch.no_grad():
        torch.testing.assert_close(wide(torch.cat([x, more], 1), t, ids), trained(x, t, ids))
