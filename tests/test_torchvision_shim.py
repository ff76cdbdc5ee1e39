import subprocess
import sys

import pytest

from rescale_bench.machine.torchvision_shim import import_torchvision


def outcome(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_networks_can_be_built_afterwards_and_random_numbers_stay():
    code = (
        "import torch\n"
        "torch.manual_seed(3)\n"
        "before = torch.get_rng_state()\n"
        "from rescale_bench.machine.torchvision_shim import import_torchvision\n"
        "import_torchvision()\n"
        "import_torchvision()\n"
        "import torchvision\n"
        "print(torch.equal(before, torch.get_rng_state()), len(torchvision.models.alexnet().features))"
    )
    assert outcome(code) == "True 13"


def test_a_torchvision_that_loads_by_itself_stays_as_it_is():
    # One that declares its operators itself, as a wheel with a fitting torch does.
    code = (
        "import torch, sys\n"
        "lib = torch.library.Library('torchvision', 'DEF')\n"
        "for name in ('nms', 'qnms'):\n"
        "    lib.define(name + '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
        "from rescale_bench.machine import torchvision_shim as shim\n"
        "shim.import_torchvision()\n"
        "print(shim._declared.cache_info().currsize, 'torchvision' in sys.modules)"
    )
    assert outcome(code) == "0 True"


def test_other_failures_pass_through(monkeypatch):
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)

    def fail(name):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(RuntimeError, match="disk on fire"):
        import_torchvision()
