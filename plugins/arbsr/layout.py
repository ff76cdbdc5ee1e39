"""The sizes that fix every tensor of an ArbRCAN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rescale_bench.errors import WeightsError
from rescale_bench.networks.loading import count_layers


@dataclass(frozen=True)
class ArbRcanLayout:
    """Sizes of a network; the defaults are the published ones.

    groups: residual groups, a scale-aware adaption after each. blocks: residual blocks of a group. width: channels.
    squeezed: channels of a block's attention. mask_width, kernels, routing_width: of the adaptions.
    experts, reduced: of the upsampler.
    """

    groups: int = 10
    blocks: int = 20
    width: int = 64
    squeezed: int = 4
    mask_width: int = 16
    kernels: int = 4
    routing_width: int = 64
    experts: int = 4
    reduced: int = 8

    @classmethod
    def infer(cls, tensors: Mapping[str, torch.Tensor], where: str) -> ArbRcanLayout:
        """Read the layout off keys and shapes. Raises WeightsError, beginning with where."""
        try:
            pool = tensors["sa_adapt.0.adapt.weight_pool"].shape
            compress = tensors["sa_upsample.weight_compress"].shape
            width = tensors["head.0.weight"].shape[0]
            squeezed = tensors["body.0.body.0.body.3.conv_du.0.weight"].shape[0]
            mask_width = tensors["sa_adapt.0.mask.0.weight"].shape[0]
            routing_width = tensors["sa_adapt.0.adapt.routing.0.weight"].shape[0]
        except KeyError as error:
            raise WeightsError(f"{where}: not an ArbRCAN: no tensor {error}") from None
        if len(compress) != 5 or len(pool) != 5:
            raise WeightsError(f"{where}: not an ArbRCAN: weight_pool {tuple(pool)}, weight_compress {tuple(compress)}")
        groups = count_layers(tensors, r"sa_adapt\.(\d{1,3})\.")
        blocks = count_layers(tensors, r"body\.0\.body\.(\d{1,3})\.body\.")
        return cls(groups, blocks, width, squeezed, mask_width, pool[0], routing_width, compress[0], compress[1])
