"""Float32 that is float32 on every device."""

from __future__ import annotations


def exact_float32() -> None:
    """Switch off what trades float32's accuracy or repeatability for speed on NVIDIA GPUs, for this process.

    By default cuDNN convolves float32 in TF32, whose mantissa has 10 bits instead of 23. Relative errors of 5e-4, up to
    an eighth of an 8-bit level, round pixels of the LR the other way and move PSNRs from the CPU's. Benchmarking picks
    cuDNN's algorithm by the clock, and some algorithms add in no fixed order: equal runs would not be equal.
    Changes nothing on the CPU, and starts no driver.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
