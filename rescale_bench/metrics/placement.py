"""Bring a sample to the device that its metrics compute on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rescale_bench.api.records import Sample

if TYPE_CHECKING:
    import torch


def on_device(sample: Sample, device: str | torch.device) -> Sample:
    """Return the sample with its images on a device, and nothing computed yet: a memo's tensors live where it was made.

    For metrics with `Metric.on_device`; the others read files or compute with NumPy, on the CPU.
    """
    sent = sample.lr_sent
    return replace(
        sample,
        hr=sample.hr.to(device),
        sr=sample.sr.to(device),
        lr=sample.lr.to(device),
        lr_reference=sample.lr_reference.to(device),
        lr_sent=None if sent is None else sent.to(device),
        memo={},
    )
