"""FID and KID on features, against pyiqa's formulas, closed forms and plain loops."""

import numpy as np
import pytest

from rescale_bench.errors import UndefinedValueError, UsageError
from rescale_bench.machine.torchvision_shim import import_torchvision
from rescale_bench.metrics.frechet import frechet_distance, kernel_distance
from rescale_bench.metrics.inception import rescale_bench_metrics


@pytest.fixture(scope="module")
def pyiqa_fid():
    import_torchvision()
    from pyiqa.archs import fid_arch

    return fid_arch


def features(n, d, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) + shift


# SciPy deprecates an argument that pyiqa passes to sqrtm.
@pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated")
@pytest.mark.parametrize(("n", "m"), [(200, 200), (90, 300), (40, 33)])
def test_frechet_equals_pyiqa(pyiqa_fid, n, m):
    a, b = features(n, 24, 0), features(m, 24, 1, shift=0.3)
    moments = [part for x in (a, b) for part in (x.mean(0), np.cov(x, rowvar=False))]
    assert frechet_distance(a, b) == pytest.approx(pyiqa_fid.frechet_distance(*moments), rel=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)


def test_frechet_of_gaussians_is_the_closed_form():
    # Whitened, so that mean and covariance are exact: then |µ|² + Σ (σ₁ − σ₂)² for diagonal covariances.
    a = features(60, 6, 2)
    a -= a.mean(0)
    white = a @ np.linalg.inv(np.linalg.cholesky(np.cov(a, rowvar=False))).T
    first, second = np.arange(1.0, 7), np.array([2.0, 2, 2, 5, 5, 5])
    shift = np.array([1.0, 0, 0, 0, 0, 2])
    expected = 5 + ((first - second) ** 2).sum()
    assert frechet_distance(white * first, white * second + shift) == pytest.approx(expected, rel=1e-10)


def test_frechet_with_fewer_images_than_features(pyiqa_fid):
    # Singular covariances, where a matrix root is a matter of luck: √Σ₁Σ₂√Σ₁ by eigenvalues is not.
    a, b = features(5, 40, 3), features(8, 40, 4)
    root = np.linalg.eigh(np.cov(a, rowvar=False))
    half = root.eigenvectors * np.sqrt(root.eigenvalues.clip(0)) @ root.eigenvectors.T
    inner = np.linalg.eigvalsh(half @ np.cov(b, rowvar=False) @ half).clip(0)
    # Where eigenvalues are really 0, their roots turn 1e-16 into 1e-8.
    gap = a.mean(0) - b.mean(0)
    expected = gap @ gap + np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False)) - 2 * np.sqrt(inner).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-5)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)


def test_frechet_grows_as_images_get_fewer():
    """The warning's claim, where the truth is known: y = 0.8 x + 0.1 e on 64 features is 64 (1 − √0.65)² away."""
    rng = np.random.default_rng(5)

    def mean(n, repeats):
        found = []
        for _ in range(repeats):
            x = rng.normal(size=(n, 64))
            found.append(frechet_distance(x, 0.8 * x + 0.1 * rng.normal(size=(n, 64))))
        return np.mean(found)

    values = [mean(5, 40), mean(24, 20), mean(100, 10), mean(1000, 2)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.3 * values[-1]


def test_kernel_equals_loops_over_different_images():
    a, b = features(7, 10, 6), features(7, 10, 7)

    def kernel(x, y):
        return (float(x @ y) / 10 + 1) ** 3

    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    terms = [kernel(a[i], a[j]) + kernel(b[i], b[j]) - kernel(a[i], b[j]) - kernel(a[j], b[i]) for i, j in pairs]
    assert kernel_distance(a, b) == pytest.approx(np.mean(terms), rel=1e-10)
    assert kernel_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_kernel_differs_from_pyiqa_by_images_that_meet_themselves(pyiqa_fid):
    a, b = features(30, 16, 8), features(30, 16, 9, shift=0.2)
    cross = (a @ b.T / 16 + 1) ** 3
    apart = (cross.sum() - np.trace(cross)) / (30 * 29)
    other = pyiqa_fid.mmd_polynomial_kernel(a, b, num_subsets=1)
    assert kernel_distance(a, b) == pytest.approx(other + 2 * (cross.mean() - apart), rel=1e-9)
    assert pyiqa_fid.mmd_polynomial_kernel(a, a, num_subsets=1) < 0


def test_refusals():
    with pytest.raises(UndefinedValueError, match="2 images, the set has 1"):
        frechet_distance(features(1, 4, 0), features(3, 4, 0))
    with pytest.raises(UndefinedValueError, match="2 images"):
        kernel_distance(features(1, 4, 0), features(1, 4, 0))
    with pytest.raises(UsageError, match="equally long"):
        frechet_distance(features(3, 4, 0), features(3, 5, 0))
    with pytest.raises(UsageError, match="one to one"):
        kernel_distance(features(3, 4, 0), features(4, 4, 0))


def test_the_warning_names_the_number_of_images():
    fid, kid = rescale_bench_metrics()
    assert "over 5 images is biased" in fid.validity(5)
    assert "2048 features" in fid.validity(100)
    assert "singular" not in fid.validity(5000)
    assert "over 14 images" in kid.validity(14)


def test_missing_weights_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for metric in rescale_bench_metrics():
        (problem,) = metric.problems()
        assert str(tmp_path / "hub/checkpoints/pt_inception-2015-12-05-6726825d.pth") in problem
        assert problem.endswith(f"rescale-bench prepare --metrics {metric.name}")
