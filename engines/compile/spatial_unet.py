"""A UNet for small latents on a CPU: activations kept as [pixels, rows, channels], 3x3 convolutions by Winograd.

At 16x16, 8x8 and 4x4 everything is then a matrix product on contiguous memory: convolutions
(`engines.compile.winograd`), group norms (two sums over the first axis) and the linear layers. Biases go into another
sum that is needed anyway. Only attention rearranges.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engines.compile.winograd import Winograd, pixel_order

BLOCKS = {"DownBlock2D", "CrossAttnDownBlock2D", "UNetMidBlock2DCrossAttn", "CrossAttnUpBlock2D", "UpBlock2D"}
SIDES = {4, 8, 16}  # larger maps were not measured


def supports(unet: Any, side: int) -> bool:
    """Whether a UNet has only the blocks written here, on maps of `SIDES` only (all others: as exported)."""
    config = unet.config
    blocks = {*config.down_block_types, config.mid_block_type, *config.up_block_types}
    sides = [side // 2**level for level in range(len(config.block_out_channels))]
    plain = (
        config.act_fn == "silu"
        and config.class_embed_type is None
        and config.addition_embed_type in (None, "text")
        and not config.only_cross_attention
        and not config.dual_cross_attention
        and config.conv_in_kernel == 3
        and config.encoder_hid_dim_type is None
        and config.time_embedding_act_fn is None
        and config.mid_block_only_cross_attention in (None, False)
        and config.downsample_padding == 1
    )
    return plain and blocks <= BLOCKS and SIDES.issuperset(sides)


class PixelNorm(nn.Module):
    """GroupNorm over [pixels, rows, channels].

    The means are matrix products, which ONNX Runtime runs several times faster than its reductions.
    """

    def __init__(self, norm: nn.GroupNorm, side: int) -> None:
        super().__init__()
        size = norm.num_channels // norm.num_groups
        self.over_pixels = nn.Buffer(torch.full((1, side * side), 1 / side**2))
        self.over_group = nn.Buffer(torch.block_diag(*[torch.full((size, size), 1 / size)] * norm.num_groups))
        self.scale, self.shift, self.eps = norm.weight, norm.bias, norm.eps

    def forward(
        self,
        x: torch.Tensor,
        before: torch.Tensor | None = None,
        scale: torch.Tensor | None = None,
        shift: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Of x + `before`, then a scale and shift; all three by channel, or by row and channel."""
        mean = self._over_pixels(x)
        mean = mean @ self.over_group if before is None else (mean + before) @ self.over_group - before
        centred = x - mean
        factor = torch.rsqrt(self._over_pixels(centred * centred) @ self.over_group + self.eps) * self.scale
        if scale is None or shift is None:
            return centred * factor + self.shift
        return centred * (factor * (1 + scale)) + (self.shift * (1 + scale) + shift)

    def _over_pixels(self, x: torch.Tensor) -> torch.Tensor:
        return torch.mm(self.over_pixels, x.reshape(x.shape[0], -1)).reshape(x.shape[1:])


class Pointwise(nn.Module):
    """A 1x1 convolution or a linear layer on the last axis, as one product with its bias in it, and another's too."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, others: torch.Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Buffer(layer.weight.detach().flatten(1).T.contiguous())
        biases = [b.detach() for b in (layer.bias, others) if b is not None]
        self.bias = nn.Buffer(torch.stack(biases).sum(0)) if biases else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        out = torch.mm(flat, self.weight) if self.bias is None else torch.addmm(self.bias, flat, self.weight)
        return out.reshape(*x.shape[:-1], self.weight.shape[1])


class Resnet(nn.Module):
    """diffusers' ResnetBlock2D. The first bias is added within the second norm, the second one in the shortcut."""

    def __init__(self, block: Any, side: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = PixelNorm(block.norm1, side), PixelNorm(block.norm2, side)
        self.conv1, self.conv2 = Winograd(block.conv1, side), Winograd(block.conv2, side)
        self.bias1, self.bias2 = block.conv1.bias, block.conv2.bias
        self.time = block.time_emb_proj
        self.scale_shift = block.time_embedding_norm == "scale_shift"
        self.shortcut = Pointwise(block.conv_shortcut, self.bias2) if block.conv_shortcut is not None else None
        self.output_scale = float(block.output_scale_factor)

    def forward(self, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
        silu = nn.functional.silu
        hidden, time = self.conv1(silu(self.norm1(x))), self.time(silu(emb))
        if self.scale_shift:
            hidden = self.norm2(hidden, self.bias1, *time.chunk(2, dim=1))
        else:
            hidden = self.norm2(hidden, self.bias1 + time)
        past = x + self.bias2 if self.shortcut is None else self.shortcut(x)
        out = past + self.conv2(silu(hidden))
        return out if self.output_scale == 1 else out / self.output_scale


class Transformer(nn.Module):
    """diffusers' Transformer2DModel on [pixels rows, channels]: only attention needs to know whose a token is.

    Two axes, because ONNX Runtime puts the bias of a linear layer into its product only there.
    """

    def __init__(self, block: Any, side: int) -> None:
        super().__init__()
        self.norm, self.blocks = PixelNorm(block.norm, side), block.transformer_blocks
        self.proj_in, self.proj_out = Pointwise(block.proj_in), Pointwise(block.proj_out)

    def forward(self, x: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        pixels, rows, channels = x.shape
        tokens = self.proj_in(self.norm(x).reshape(-1, channels))
        for block in self.blocks:
            seen = block.norm1(tokens)
            tokens = tokens + _attend(block.attn1, seen, seen, (pixels, rows))
            tokens = tokens + _attend(block.attn2, block.norm2(tokens), words, (pixels, rows))
            tokens = tokens + _feed_forward(block.ff, block.norm3(tokens))
        return self.proj_out(tokens).reshape(x.shape) + x


class Upsampled(nn.Module):
    """diffusers' Upsample2D to `side`."""

    def __init__(self, conv: nn.Conv2d, side: int) -> None:
        super().__init__()
        self.conv, self.bias = Winograd(conv, side, upsampled=True), conv.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.bias


def _attend(attention: Any, tokens: torch.Tensor, source: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Attention of pixels to pixels [pixels rows, channels], or to words [rows, length, width]."""

    query = attention.to_q(tokens).reshape(*shape, attention.heads, -1).permute(1, 2, 0, 3)
    by_row = source.ndim == 3
    ahead = source.shape[:2] if by_row else shape
    order = (0, 2, 1, 3) if by_row else (1, 2, 0, 3)
    flat = source.reshape(-1, source.shape[-1])
    key, value = (
        layer(flat).reshape(*ahead, attention.heads, -1).permute(order) for layer in (attention.to_k, attention.to_v)
    )
    out = nn.functional.scaled_dot_product_attention(query, key, value, scale=attention.scale)
    return attention.to_out[0](out.permute(2, 0, 1, 3).reshape(tokens.shape[0], -1))


def _feed_forward(ff: Any, x: torch.Tensor) -> torch.Tensor:
    """GEGLU with its two halves as two products: a split would copy both."""
    (value, gate), (value_bias, gate_bias) = ff.net[0].proj.weight.chunk(2), ff.net[0].proj.bias.chunk(2)
    linear = nn.functional.linear
    return ff.net[2](linear(x, value, value_bias) * nn.functional.gelu(linear(x, gate, gate_bias)))


class SpatialUNet(nn.Module):
    """A UNet that `supports` accepts: NCHW in and out, pixels first inside."""

    def __init__(self, unet: Any, side: int) -> None:
        super().__init__()
        self.unet = unet
        self.conv_in, self.conv_out = unet.conv_in, unet.conv_out
        self.downs, self.ups, self.strided, self.upsampled = (nn.ModuleList() for _ in range(4))
        for block in unet.down_blocks:
            self.downs.append(_layers(block, side))
            self.strided.append(block.downsamplers[0].conv if block.downsamplers else nn.Identity())
            side = side // 2 if block.downsamplers else side
        mid = unet.mid_block
        self.mid = nn.ModuleList([Resnet(mid.resnets[0], side)])
        for resnet, attention in zip(mid.resnets[1:], mid.attentions, strict=True):
            self.mid.extend([Transformer(attention, side), Resnet(resnet, side)])
        for block in unet.up_blocks:
            self.ups.append(_layers(block, side))
            side = side * 2 if block.upsamplers else side
            self.upsampled.append(Upsampled(block.upsamplers[0].conv, side) if block.upsamplers else nn.Identity())
        self.norm_out = PixelNorm(unet.conv_norm_out, side)

    def forward(
        self, sample: torch.Tensor, timesteps: torch.Tensor, encoder_hidden_states: torch.Tensor
    ) -> torch.Tensor:
        unet, words = self.unet, encoder_hidden_states
        emb = unet.time_embedding(unet.time_proj(timesteps))
        more = unet.get_aug_embed(emb=emb, encoder_hidden_states=words, added_cond_kwargs={})
        emb = emb if more is None else emb + more
        x = _pixels_first(self.conv_in(sample))
        skips = [x]
        for layers, strided in zip(self.downs, self.strided, strict=True):
            for step in _steps(layers):
                for layer in step:
                    x = layer(x, emb if isinstance(layer, Resnet) else words)
                skips.append(x)
            if isinstance(strided, nn.Conv2d):
                x = _pixels_first(strided(_channels_first(x)))
                skips.append(x)
        for layer in self.mid:
            x = layer(x, emb if isinstance(layer, Resnet) else words)
        for layers, upsampled in zip(self.ups, self.upsampled, strict=True):
            for step in _steps(layers):
                x = torch.cat([x, skips.pop()], dim=-1)
                for layer in step:
                    x = layer(x, emb if isinstance(layer, Resnet) else words)
            x = upsampled(x)
        return self.conv_out(_channels_first(nn.functional.silu(self.norm_out(x))))


def _layers(block: Any, side: int) -> nn.ModuleList:
    """The residual and attention layers of one block, in order."""
    layers: list[nn.Module] = []
    attentions = block.attentions if getattr(block, "has_cross_attention", False) else [None] * len(block.resnets)
    for resnet, attention in zip(block.resnets, attentions, strict=True):
        layers.append(Resnet(resnet, side))
        if attention is not None:
            layers.append(Transformer(attention, side))
    return nn.ModuleList(layers)


def _steps(layers: Any) -> list[list[Any]]:
    """A block's layers cut before each residual layer: what one skip connection spans."""
    steps: list[list[Any]] = []
    for layer in layers:
        if isinstance(layer, Resnet):
            steps.append([])
        steps[-1].append(layer)
    return steps


def _pixels_first(x: torch.Tensor) -> torch.Tensor:
    """[rows, channels, h, w] -> [h w, rows, channels], in `pixel_order`."""
    order = pixel_order(torch.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:]))
    return x.flatten(2).permute(2, 0, 1)[order]


def _channels_first(x: torch.Tensor) -> torch.Tensor:
    """[h w, rows, channels] -> [rows, channels, h, w] of a square map."""
    side = int(x.shape[0] ** 0.5)
    order = pixel_order(torch.arange(len(x)).reshape(side, side)).argsort()
    return x[order].permute(1, 2, 0).unflatten(2, (side, side))
