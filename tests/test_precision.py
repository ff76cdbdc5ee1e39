"""TF32 and the like are off after one call; nothing here needs a GPU, for the switches exist without one."""

import subprocess
import sys
from contextlib import ExitStack
from unittest import mock

import pytest
import torch

from rescale_bench.machine.environment import arithmetic
from rescale_bench.machine.precision import exact_float32

SWITCHES = [
    (torch.backends.cudnn, "allow_tf32", True, False),
    (torch.backends.cuda.matmul, "allow_tf32", True, False),
    (torch.backends.cudnn, "benchmark", True, False),
    (torch.backends.cudnn, "deterministic", False, True),
]


@pytest.fixture
def careless():
    """Set every switch the fast way, and put it back afterwards."""
    with ExitStack() as stack:
        for owner, name, fast, _ in SWITCHES:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, fast)
        yield


def test_every_switch_is_turned(careless):
    exact_float32()
    assert [getattr(owner, name) for owner, name, _, _ in SWITCHES] == [exact for *_, exact in SWITCHES]
    about = arithmetic()
    assert (about["cudnn_tf32"], about["cudnn_benchmark"], about["matmul_precision"]) == (False, False, "highest")


def test_numbers_of_the_cpu_stay(careless):
    generator = torch.Generator().manual_seed(1)
    image, kernel = (torch.randn(shape, generator=generator) for shape in ((1, 8, 30, 30), (8, 8, 3, 3)))
    before = torch.nn.functional.conv2d(image, kernel)
    exact_float32()
    assert torch.equal(torch.nn.functional.conv2d(image, kernel), before)


def test_starts_no_driver_and_importing_it_no_torch(careless):
    with mock.patch.object(torch.cuda, "_lazy_init", side_effect=AssertionError("the driver was started")):
        exact_float32()
    code = "import sys; import rescale_bench.machine.precision; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
