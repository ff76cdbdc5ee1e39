"""The sizes that fix every tensor of an AIDN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rescale_bench.errors import WeightsError
from rescale_bench.networks.loading import count_layers

NETS = ("down_net", "up_net")


@dataclass(frozen=True)
class AidnLayout:
    """Sizes of one half (the encoder and the decoder have the same); the defaults are the published ones.

    blocks: residual blocks. width: channels. adaptions: scale-aware adaptions, evenly spread over the blocks.
    mask_width: channels of their mask network. kernels: expert kernels of each. routing_width: channels of the
    small network that mixes those. experts, reduced: of the resampling module.
    """

    blocks: int = 16
    width: int = 64
    adaptions: int = 4
    mask_width: int = 16
    kernels: int = 4
    routing_width: int = 64
    experts: int = 8
    reduced: int = 8

    @classmethod
    def infer(cls, tensors: Mapping[str, torch.Tensor], where: str) -> AidnLayout:
        """Read the layout off the encoder's keys and shapes. Raises WeightsError, beginning with where."""
        net = NETS[0]
        try:
            pool = tensors[f"{net}.sa_adapt.0.adapt.weight_pool"].shape
            compress = tensors[f"{net}.sa_sample.weight_compress"].shape
            width = tensors[f"{net}.head.0.weight"].shape[0]
            mask_width = tensors[f"{net}.sa_adapt.0.mask.0.weight"].shape[0]
            routing_width = tensors[f"{net}.sa_adapt.0.adapt.routing.0.weight"].shape[0]
        except KeyError as error:
            raise WeightsError(f"{where}: not an AIDN: no tensor {error}") from None
        blocks = count_layers(tensors, rf"{net}\.body\.(\d{{1,3}})\.body\.")
        adaptions = count_layers(tensors, rf"{net}\.sa_adapt\.(\d{{1,3}})\.")
        if len(compress) != 5 or len(pool) != 5 or blocks < adaptions or blocks % adaptions:
            raise WeightsError(
                f"{where}: not an AIDN: {blocks} blocks, {adaptions} adaptions, weight_pool {tuple(pool)}, "
                f"weight_compress {tuple(compress)}"
            )
        return cls(blocks, width, adaptions, mask_width, pool[0], routing_width, compress[0], compress[1])
