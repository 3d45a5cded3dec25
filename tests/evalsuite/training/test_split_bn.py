"""Batch norms of their own for synthetic images."""

from __future__ import annotations

import torch

from evalsuite.training.split_bn import SplitBatchNorm2d, mark_synthetic, merged_state, split_batch_norms


def test_split_batch_norm_keeps_real_statistics_to_real_images() -> None:
    """Evaluation must use what real images taught, whatever the share of synthetic ones."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    plain.load_state_dict(net.state_dict())
    assert split_batch_norms(net) == 1
    x = torch.randn(10, 3, 8, 8)
    x[7:] += 50
    synthetic = torch.arange(10) >= 7
    mark_synthetic(net, synthetic)
    out = net.train()(x)
    assert torch.allclose(out[:7], plain.train()(x[:7]), atol=1e-5)
    plain.load_state_dict(merged_state(net.state_dict()))
    assert torch.allclose(plain.eval()(x), net.eval()(x))
    assert isinstance(net[1], SplitBatchNorm2d)
