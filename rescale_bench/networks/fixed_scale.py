"""Integer-scale networks served on images of any size."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from rescale_bench.api.scales import exact, lr_size
from rescale_bench.errors import MethodError, NotNativeError
from rescale_bench.networks.compiling import compiled
from rescale_bench.networks.dense import prepare
from rescale_bench.networks.padding import crop, pad_to_multiple


class FixedScaleRescaler(ABC):
    """A Rescaler around a network of one integer scale (design, section 3 "Sizes").

    The HR is reflect-padded to a multiple, the LR cut to ceil(H/s) × ceil(W/s), the restored image cut back.
    Subclasses give the two halves, for padded images alone, and may set lr_multiple.
    """

    lr_multiple: int = 1
    """Of which number the LR sides must be for `upscale_padded`."""

    def __init__(self, scale: int, multiple: int | None = None, parameter_count: int = 0) -> None:
        """Set the network's scale and of which number the HR sides must be: a multiple of the scale, or the scale."""
        self.scale = scale
        self.multiple = scale if multiple is None else multiple
        self.parameter_count = parameter_count

    def __init_subclass__(cls, **more: Any) -> None:
        """Take the halves under their names of version 0.1 too, with a DeprecationWarning; these go in version 0.3."""
        super().__init_subclass__(**more)
        for old, new in (("_down", "downscale_padded"), ("_up", "upscale_padded")):
            if old in vars(cls) and new not in vars(cls):
                warnings.warn(f"{cls.__name__}.{old} is now called {new}", DeprecationWarning, stacklevel=3)
                setattr(cls, new, vars(cls)[old])

    @abstractmethod
    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Map (1, 3, H, W) with H and W multiples of `multiple` to (1, C, H/scale, W/scale)."""

    @abstractmethod
    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Map (1, C, h, w) with h and w multiples of `lr_multiple` to (1, 3, scale·h, scale·w)."""

    @torch.inference_mode()
    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return the LR of size ceil(H/scale) × ceil(W/scale). Raises NotNativeError for other scales."""
        self._check_scale(scale)
        lr = self.downscale_padded(pad_to_multiple(hr, self.multiple))
        return crop(lr, lr_size((hr.shape[-2], hr.shape[-1]), self.scale)).contiguous()

    @torch.inference_mode()
    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return the image of exactly the given (height, width).

        Raises NotNativeError for other scales, MethodError where the LR is not the one of that size.
        """
        self._check_scale(scale)
        wanted = lr_size(size, self.scale)
        if (lr.shape[-2], lr.shape[-1]) != wanted:
            found = f"{lr.shape[-2]}×{lr.shape[-1]}"
            raise MethodError(
                f"×{self.scale}: an LR of {found} cannot give {size[0]}×{size[1]}; it must be {wanted[0]}×{wanted[1]}"
            )
        return crop(self.upscale_padded(pad_to_multiple(lr, self.lr_multiple)), size).contiguous()

    def compile_networks(self) -> None:
        """Put torch.compile around the two halves, without the padding and the checks."""
        for module in vars(self).values():
            if isinstance(module, nn.Module):
                prepare(module)
        self.downscale_padded = compiled(self.downscale_padded)  # type: ignore[method-assign]
        self.upscale_padded = compiled(self.upscale_padded)  # type: ignore[method-assign]

    def _check_scale(self, scale: float) -> None:
        if exact(scale) != self.scale:
            raise NotNativeError(f"this network serves scale {self.scale}, not {exact(scale)}")


class ScaleSwitch:
    """A Rescaler that hands each scale to the network made for it."""

    def __init__(self, rescalers: Mapping[int, FixedScaleRescaler]) -> None:
        """Take rescalers by integer scale."""
        self.rescalers = dict(rescalers)
        self.parameter_count = sum(rescaler.parameter_count for rescaler in rescalers.values())

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return the LR from the network of that scale. Raises NotNativeError where there is none."""
        return self._find(scale).downscale(hr, scale)

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return the image from the network of that scale. Raises NotNativeError where there is none."""
        return self._find(scale).upscale(lr, scale, size)

    def compile_networks(self) -> None:
        """Compile all networks; each only when it is first used."""
        for rescaler in self.rescalers.values():
            rescaler.compile_networks()

    def _find(self, scale: float) -> FixedScaleRescaler:
        for native, rescaler in self.rescalers.items():
            if exact(scale) == native:
                return rescaler
        known = ", ".join(map(str, sorted(self.rescalers)))
        raise NotNativeError(f"these networks serve scale {known}, not {exact(scale)}")


def serve(rescalers: Mapping[int, FixedScaleRescaler]) -> FixedScaleRescaler | ScaleSwitch:
    """Make one Rescaler out of those built for single scales."""
    return next(iter(rescalers.values())) if len(rescalers) == 1 else ScaleSwitch(rescalers)
