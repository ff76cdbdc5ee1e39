"""The sizes that fix every tensor of an AIDN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rescale_bench.errors import WeightsError
from rescale_bench.networks.loading import count_layers

NETS = ("down_net", "up_net")
GIVEN = 4
"""Channels of the resampling module's prediction that are not features: twice the scale, the place in the pixel."""


@dataclass(frozen=True)
class AidnLayout:
    """Sizes of one half (the encoder and the decoder have the same); the defaults are the published ones.

    blocks: residual blocks. width: channels. adaptions: scale-aware adaptions, evenly spread over the blocks.
    mask_width: channels of their mask network. kernels: expert kernels of each. routing_width: channels of the
    small network that mixes those. experts, reduced: of the resampling module. crm: False puts pixel shuffle in its
    place. content: False hides the features from its prediction. Both are the ablation of the paper's Table 3.
    """

    blocks: int = 16
    width: int = 64
    adaptions: int = 4
    mask_width: int = 16
    kernels: int = 4
    routing_width: int = 64
    experts: int = 8
    reduced: int = 8
    crm: bool = True
    content: bool = True

    @classmethod
    def infer(cls, tensors: Mapping[str, torch.Tensor], where: str) -> AidnLayout:
        """Read the layout off the encoder's keys and shapes. Raises WeightsError, beginning with where."""
        net = NETS[0]
        try:
            pool = tensors[f"{net}.sa_adapt.0.adapt.weight_pool"].shape
            crm = f"{net}.sa_sample.convolutions.2.weight" not in tensors
            compress = tensors[f"{net}.sa_sample.weight_compress"].shape if crm else (cls.experts, cls.reduced, 0, 0, 0)
            content = not crm or tensors[f"{net}.sa_sample.body.0.weight"].shape[1] > GIVEN
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
        experts, reduced = compress[:2]
        return cls(blocks, width, adaptions, mask_width, pool[0], routing_width, experts, reduced, crm, content)
