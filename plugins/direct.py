"""Files in place of rescaling, at scale 1: `direct` codes the HR itself, `grey` drops its colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Rescaler, States, Traits, Value
from rescale_bench.api.scales import NativeScales

if TYPE_CHECKING:
    import torch


class Direct:
    """Send the image as it is: what is lost is lost in the file."""

    parameter_count = 0

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return the image (N, 3, H, W) itself."""
        del scale
        return hr

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return the decoded image itself."""
        del scale, size
        return lr


class Grey(Direct):
    """Send the luma of JPEG, (0.299, 0.587, 0.114)·RGB, and show it as three equal channels."""

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return (N, 1, H, W)."""
        from rescale_bench.images import color

        del scale
        return color.luma(hr.double() * 255, "full")[:, None] / 255

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return (N, 3, H, W) of (N, 1, H, W)."""
        del scale, size
        return lr.expand(-1, 3, -1, -1)


def _direct(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    del states, device, options
    return Direct()


def _grey(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    del states, device, options
    return Grey()


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield both."""
    yield Method(
        name="direct",
        summary="no rescaling: the HR itself as the file between the halves (scale 1, --codecs jpeg:20)",
        citation="IRN (IJCV 2022), Table 14 and Figure 9",
        scales=NativeScales.of(1),
        build=_direct,
        margin=0,
        traits=Traits(batches=True),
    )
    yield Method(
        name="grey",
        summary="decolorization without a network: luma down, three equal channels up (scale 1)",
        citation="ITU-R BT.601 luma, full range, as JPEG; not the baseline of IRN (IJCV 2022), Table 12",
        scales=NativeScales.of(1),
        build=_grey,
        lr_channels=1,
        margin=0,
        traits=Traits(batches=True),
    )
