"""Distances between two sets of feature vectors: Fréchet (FID) and kernel (KID). NumPy alone."""

from __future__ import annotations

import numpy as np

from rescale_bench.errors import UndefinedValueError, UsageError

Features = np.ndarray
"""One row per image, one column per feature."""
FEWEST = 2
"""Images needed for a covariance, and for pairs of different images."""


def frechet_distance(a: Features, b: Features) -> float:
    """Compute the squared Fréchet distance of Gaussians fitted to (n, d) and (m, d) features; 0 for equal sets.

    Heusel et al., "GANs trained by a two time-scale update rule", NIPS 2017, eq. 6, with sample covariances (n − 1):
    |µ₁ − µ₂|² + tr(Σ₁ + Σ₂ − 2 √(Σ₁Σ₂)). tr √(Σ₁Σ₂) is the nuclear norm of X₁X₂ᵀ / √((n − 1)(m − 1)) for centred
    rows X: exact also where Σ is singular (n ≤ d), and no d × d root is taken. Raises UsageError for other shapes,
    UndefinedValueError below two rows.
    """
    _check("FID", a, b)
    gap = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    first, second = _spread(a), _spread(b)
    cross = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + (first**2).sum() + (second**2).sum() - 2 * cross))


def _spread(features: Features) -> np.ndarray:
    """Return R with RᵀR = Σ and at most as many rows as features."""
    centred = np.asarray(features, np.float64)
    centred = (centred - centred.mean(axis=0)) / np.sqrt(len(centred) - 1)
    # A rotation of the rows changes no singular value of R₁R₂ᵀ: many rows shrink to d.
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(centred) > centred.shape[1] else centred


def kernel_distance(a: Features, b: Features) -> float:
    """Compute the squared kernel distance of paired (n, d) features (row i of both is one image); may be negative.

    Bińkowski et al., "Demystifying MMD GANs", ICLR 2018: kernel (xᵀy / d + 1)³. Estimated without bias over pairs of
    different images (Gretton et al., JMLR 13, 2012, eq. 4), so that an image never meets its own restoration: equal
    sets give 0, where the estimate for independent sets (pyiqa, clean-fid) falls below 0. No subsets are drawn.
    Raises UsageError for other shapes, UndefinedValueError below two rows.
    """
    _check("KID", a, b)
    if len(a) != len(b):
        raise UsageError(f"KID compares images one to one, not {len(a)} with {len(b)}")
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    h = _kernel(x, x) + _kernel(y, y) - _kernel(x, y) - _kernel(y, x)
    return float((h.sum() - np.trace(h)) / (len(x) * (len(x) - 1)))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    found: np.ndarray = (x @ y.T / x.shape[1] + 1) ** 3
    return found


def _check(name: str, a: Features, b: Features) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise UsageError(f"{name} compares sets of equally long feature vectors, not {a.shape} with {b.shape}")
    if min(len(a), len(b)) < FEWEST:
        raise UndefinedValueError(f"{name} needs {FEWEST} images, the set has {min(len(a), len(b))}")
