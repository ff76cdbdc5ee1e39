import pytest
import torch
import toys

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import UnknownNameError, UsageError


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def build(registry, text):
    chosen = registry.choose_method(parse_spec(text, "-m"))
    return chosen.record.build({}, "cpu", chosen.options)


def test_each_half_is_the_named_ones(registry):
    hr = torch.from_numpy(toys.picture(40, 50)).permute(2, 0, 1)[None].float() / 255
    pair, bicubic, lanczos = (build(registry, name) for name in ("bicubic+lanczos3", "bicubic", "lanczos3"))
    lr = pair.downscale(hr, 1.6)
    assert torch.equal(lr, bicubic.downscale(hr, 1.6))
    assert torch.equal(pair.upscale(lr.float(), 1.6, (40, 50)), lanczos.upscale(lr.float(), 1.6, (40, 50)))


def test_a_pair_serves_what_both_serve(registry):
    assert str(registry.method("bicubic+edsr").scales) == "{2, 3, 4}"
    assert str(registry.method("bicubic+aidn").scales) == "(1, 4]"
    assert str(registry.method("irn+edsr").scales) == "{2, 4}"


def test_parts_carry_their_owners(registry):
    from decimal import Decimal

    assert registry.method("car-edsr+edsr").parts(Decimal(2)) == ("car-edsr/kgn-x2", "car-edsr/usn-x2", "edsr/x2")


@pytest.mark.parametrize("name", ["edsr+bicubic", "irn-color+bicubic", "identity-type3+bicubic"])
def test_halves_that_do_not_fit_are_refused(registry, name):
    with pytest.raises(UsageError, match=r"has no|cannot read") as refused:
        registry.method(name)
    assert refused.value.about == "methods"


def test_an_unknown_half_is_named(registry):
    with pytest.raises(UnknownNameError, match="'bicubik': did you mean bicubic"):
        registry.method("bicubik+lanczos3")
