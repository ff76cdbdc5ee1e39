"""The record of a method, and what it still takes from plugins of version 0.1."""

import copy
import dataclasses
import pickle

import pytest
import toys

from rescale_bench import Method, NativeScales, Traits, load_registry
from rescale_bench.api.methods import count_parameters


def method(**more):
    return Method(name="mine", summary="", citation="", scales=NativeScales.of(2), build=len, **more)


def test_flags_as_fields_still_work_and_warn():
    with pytest.warns(DeprecationWarning, match=r"now Method\(traits=Traits\(batches=True, draws=True\)\)") as warned:
        old = method(draws=True, batches=True)
    assert warned[0].filename == __file__
    assert old == method(traits=Traits(draws=True, batches=True))
    with pytest.warns(DeprecationWarning, match=r"Method\.draws is now Method\.traits\.draws"):
        assert old.draws
    with pytest.warns(DeprecationWarning, match="now Method"):
        assert dataclasses.replace(old, draws=False).traits == Traits(batches=True)


def test_a_plugin_file_of_the_last_release_loads(tmp_path):
    text = toys.FIXED.replace("margin=1", "margin=1, ceiling=True")
    with pytest.warns(DeprecationWarning, match=r"Traits\(ceiling=True\)"):
        registry = load_registry([toys.plugin_file(tmp_path, text)])
    assert registry.methods["boxes"].traits == Traits(ceiling=True)


def test_other_names_stay_errors():
    with pytest.raises(TypeError, match="unexpected keyword argument 'drawz'"):
        method(drawz=True)
    with pytest.raises(AttributeError, match="'Method' object has no attribute 'drawz'"):
        method().drawz  # noqa: B018
    assert copy.deepcopy(method()) == pickle.loads(pickle.dumps(method())) == method()


@pytest.mark.parametrize(("counts", "total"), [((3, 4.0), 7), ((3, None), None), ((3, float("nan")), None), ((), 0)])
def test_parameters_of_several_are_their_sum_or_unknown(counts, total):
    class Counted:
        def __init__(self, count):
            self.parameter_count = count

    assert count_parameters(*map(Counted, counts)) == total
    assert count_parameters(object()) is None
