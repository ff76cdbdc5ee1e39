"""`weights import` of plugins: which parts there are, and what is refused."""

import pytest
import toys

from rescale_bench import NativeScales
from rescale_bench.api.methods import Method, WeightsFile, all_parts
from rescale_bench.cli import main

PLUGIN = (
    toys.HEADER
    + """
from rescale_bench.api.records import State

def initial(part, seed):
    return State({"net.weight": torch.zeros(int(part[1:]), 3)})

@hookimpl
def rescale_bench_methods():
    yield Method(name="mine", summary="", citation="", scales=NativeScales.of(2, 4), build=print, initial=initial,
                 parts=lambda scale: (f"x{scale}",))
    yield Method(name="closed", summary="", citation="", scales=NativeScales.of(2), build=print,
                 parts=lambda scale: ("x2",))
"""
)


@pytest.fixture
def bring(tmp_path, monkeypatch, capsys):
    import torch

    monkeypatch.setenv("RESCALE_BENCH_HOME", str(tmp_path / "home"))
    plugin = toys.plugin_file(tmp_path, PLUGIN)
    torch.save({"net.weight": torch.ones(4, 3)}, tmp_path / "net.pth")

    def call(method, part):
        code = main(["weights", "import", method, part, str(tmp_path / "net.pth"), "--plugin", plugin])
        return code, capsys.readouterr()

    return call


def test_a_method_that_counts_no_parameters_takes_weights(bring, tmp_path):
    code, said = bring("mine", "x4")
    assert code == 0
    assert "1 tensors, 12 parameters" in said.out
    assert (tmp_path / "home" / "weights" / "mine" / "published" / "x4.safetensors").is_file()


def test_what_was_taken_is_printed(bring, tmp_path):
    import torch

    torch.save({"params_ema": {"module.net.weight": torch.ones(4, 3)}}, tmp_path / "net.pth")
    code, said = bring("mine", "x4")
    assert code == 0
    assert said.out.splitlines()[-1] == "taken: params_ema, the moving average of the weights"


@pytest.mark.parametrize(
    ("method", "part", "says"),
    [
        ("mine", "x3", "unknown part of mine 'x3': did you mean"),
        ("bicubic", "x2", "METHOD: bicubic has no weights of its own"),
        ("closed", "x2", "METHOD: closed declares no `initial`"),
        ("mine-type3", "x2", "METHOD: mine-type3 has no weights of its own"),
    ],
)
def test_what_takes_no_weights_says_why(bring, method, part, says):
    code, said = bring(method, part)
    assert code == 2
    assert says in said.err


def test_all_parts_are_found_wherever_they_are_declared():
    def method(**more):
        return Method(name="mine", summary="", citation="", build=print, **more)

    by_range = method(
        scales=NativeScales.between("1", "4"), parts=lambda scale: ("low",) if scale <= 2 else ("high",) * (scale < 3)
    )
    assert all_parts(by_range) == ["low", "high"]
    listed = method(
        scales=NativeScales.of(2),
        parameters={"x2": 3},
        weights=(WeightsFile("published", "x4", "a.pth", ""),),
        parts=lambda scale: ("crm",),
    )
    assert all_parts(listed) == ["x2", "x4", "crm"]
    assert all_parts(method(scales=NativeScales.of(2))) == []
