"""A round trip that was made elsewhere: its images come from files. The seal does not hold for it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from rescale_bench.api.records import Costs, Protocol, Sample
from rescale_bench.errors import ImageError
from rescale_bench.protocols.named import reference_size
from rescale_bench.roundtrip.cell import measured_planes

if TYPE_CHECKING:
    import torch

    from rescale_bench.images.files import Loaded


def given_sample(
    hr: torch.Tensor,
    reference: torch.Tensor,
    sr: Loaded,
    lr: Loaded | None,
    file: bytes | None,
    scale: Decimal,
    protocol: Protocol,
) -> Sample:
    """Make of given images what the metrics judge.

    hr: from prepare_hr. reference: from reference_lr. sr, lr: as decoded. file: the bytes of the LR file.
    Raises ImageError for sizes other than those of the protocol.
    """
    import torch

    size = (hr.shape[-2], hr.shape[-1])
    restored = measured_planes(_planes(sr, size, "the restored image", protocol), sr.grey, protocol)
    small = torch.empty((3, 0, 0), dtype=torch.uint8)
    if lr is not None:
        small = _planes(lr, reference_size(size, scale), "the LR image", protocol)
        # A grey LR of a coloured HR is a method's own; that of a grey HR has three equal channels, as the HR has.
        small = small[:1] if lr.grey and not _is_grey(hr) else measured_planes(small, lr.grey, protocol)
    sent = None if lr is None or protocol.lr_rounding == "none" else small
    return Sample(
        hr=hr,
        sr=restored.to(torch.float32) if protocol.sr_rounding == "none" else restored,
        lr=small.to(torch.float32) if protocol.lr_scores == "float" else small,
        lr_reference=reference,
        lr_sent=sent,
        file=None if sent is None else file,
        scale=scale,
        protocol=protocol,
        costs=Costs(),
    )


def _planes(image: Loaded, size: tuple[int, int], what: str, protocol: Protocol) -> torch.Tensor:
    """Return uint8 (3, H, W). Raises ImageError where the size is not the one that is expected, (H, W)."""
    import torch

    height, width = image.pixels.shape[:2]
    if (height, width) != size:
        raise ImageError(
            f"{what} has {width}×{height} pixels where protocol {protocol.name} expects {size[1]}×{size[0]}"
        )
    return torch.from_numpy(image.pixels).permute(2, 0, 1)


def _is_grey(hr: torch.Tensor) -> bool:
    return hr.shape[0] == 1 or bool((hr[0] == hr[1]).all() and (hr[1] == hr[2]).all())
