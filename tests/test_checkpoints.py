"""Import of published checkpoints in every container; parity layouts must come through bit for bit."""

import argparse
import collections
import hashlib
import importlib.util
import os
import pickle
import tarfile

import numpy as np
import pytest
import torch
from scipy.io import savemat

from rescale_bench.errors import WeightsError
from rescale_bench.weights import stored as weights
from rescale_bench.weights.checkpoints import import_checkpoint, read

LAYOUT = {"a.weight": (4, 3, 3, 3), "a.bias": (4,), "bn.running_mean": (4,), "bn.num_batches_tracked": ()}


def state(layout=None):
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.tensor(5) if key.endswith("tracked") else torch.randn(shape, generator=generator)
        for key, shape in (layout or LAYOUT).items()
    }


def prefixed(tensors, prefix="module."):
    return {prefix + key: value for key, value in tensors.items()}


def write(path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def bring(source, expected=None, ignored=(), others=None):
    target = source.parent / "out" / "x4.safetensors"
    origin = {"method": "irn", "part": "x4", "tag": "published"}
    return import_checkpoint(source, expected or LAYOUT, ignored, target, origin, others)


CONTAINERS = {
    "plain": lambda tensors: tensors,
    "ordered": collections.OrderedDict,
    "module": prefixed,
    "module twice": lambda tensors: prefixed(tensors, "module.module."),
    "state_dict": lambda tensors: {
        "epoch": 300,
        "state_dict": prefixed(tensors),
        "optimizer": {"state": {}, "lr": 0.1},
    },
    "params": lambda tensors: {"params": tensors},
    "params_ema": lambda tensors: {"params_ema": tensors, "params": None},
    "model": lambda tensors: {"model": tensors, "epoch": 3, "ema": torch.zeros(2)},
    "nested": lambda tensors: {"model": {"state_dict": tensors}},
    "parameters": lambda tensors: {
        key: torch.nn.Parameter(value) if value.is_floating_point() else value for key, value in tensors.items()
    },
    "numpy score": lambda tensors: {"state_dict": tensors, "best": np.float64(38.2), "step": np.int64(7)},
}


def other(tensors):
    """Other numbers in the same layout, as the weights beside their moving average have them."""
    return {key: value + 1 for key, value in tensors.items()}


FOUND = {
    "net_g": (lambda t: {"net_g": t, "net_d": {"fc.weight": torch.ones(3)}}, "taken: net_g"),
    "EMA": (lambda t: {"iter": 7, "EMA": t}, "taken: EMA, the moving average of the weights"),
    "ema beside": (
        lambda t: {"params": other(t), "params_ema": t},
        "taken: params_ema, the moving average of the weights; params would fit too",
    ),
    "state_dict_ema": (
        lambda t: {"state_dict": other(t), "state_dict_ema": prefixed(t)},
        "taken: state_dict_ema, the moving average of the weights; state_dict would fit too",
    ),
    "deep": (lambda t: {"a": {"b": {"c": {"state": t}}}}, "taken: a/b/c/state"),
    "known container first": (lambda t: {"older": other(t), "state_dict": t}, "taken: state_dict; older would fit too"),
    "compiled": (lambda t: prefixed(t, "_orig_mod."), None),
    "compiled and parallel": (lambda t: prefixed(t, "module._orig_mod."), None),
    "compiled inside": (lambda t: {"state_dict": prefixed(t, "netG._orig_mod.")}, "taken: state_dict/netG."),
    "netG": (lambda t: prefixed(t, "netG."), "taken: netG."),
    "generator": (lambda t: prefixed(t, "module.generator."), "taken: generator."),
    "generator_ema": (
        lambda t: prefixed(other(t), "generator.") | prefixed(t, "generator_ema.") | {"discriminator.w": torch.ones(2)},
        "taken: generator_ema., the moving average of the weights; generator. would fit too",
    ),
    "two dots": (lambda t: {"model": prefixed(t, "model.net.")}, "taken: model/model.net."),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_network_is_found_and_said(tmp_path, name):
    wrap, said = FOUND[name]
    tensors = state()
    report = bring(write(tmp_path / "x.pth", wrap(tensors)))
    loaded, _ = weights.load(report.path)
    assert all(torch.equal(loaded[key], tensors[key]) for key in LAYOUT)
    assert next((note for note in report.notes if note.startswith("taken")), None) == said


def test_keys_of_other_networks_are_left_out_and_told(tmp_path):
    content = prefixed(state(), "netG.") | prefixed({"fc.weight": torch.ones(3)}, "netD.")
    assert bring(write(tmp_path / "x.pth", content)).notes == (
        "taken: netG.",
        "left out, not of this network: netD.fc.weight",
    )


def test_residue_is_left_out_with_a_note(tmp_path):
    counters = {"total_ops": torch.ones(1), "a.total_params": torch.ones(1), "step_counter": torch.tensor(3),
                "a.num_batches_tracked": torch.tensor(7)}  # fmt: skip
    report = bring(write(tmp_path / "x.pth", {"params": prefixed(state() | counters)}))
    assert report.notes == (
        "taken: params",
        "left out, no weights: total_ops, a.total_params, step_counter, … 1 more",
    )
    assert report.ignored == ()
    assert "bn.num_batches_tracked" in weights.load(report.path)[0]  # which this network has


def test_a_network_keeps_names_that_wrappers_have_too(tmp_path):
    layout = {"module.weight": (4,), "_orig_mod.bias": (4,)}
    tensors = state(layout)
    loaded, _ = weights.load(bring(write(tmp_path / "x.pth", prefixed(tensors)), layout).path)
    assert all(torch.equal(loaded[key], tensors[key]) for key in layout)


def test_what_does_not_fit_is_told_of_the_nearest_reading(tmp_path):
    tensors = state()
    del tensors["a.bias"]
    content = {"optimizer": {"exp_avg": torch.ones(2)}, "net_g": prefixed(tensors | {"b": torch.ones(1)}, "netG.")}
    with pytest.raises(WeightsError, match=r"in net_g/netG\.: 1 missing \(a\.bias\); 1 unexpected \(b\)$"):
        bring(write(tmp_path / "x.pth", content))


def test_an_average_of_another_network_is_not_taken(tmp_path):
    content = {"params": state(), "params_ema": state({"a.weight": (1, 3, 3, 3)})}
    assert bring(write(tmp_path / "x.pth", content)).notes == ("taken: params",)


def test_dictionaries_that_hold_each_other_take_no_time(tmp_path):
    content = {"x": torch.ones(1)}
    for _ in range(40):
        content = {"left": content, "right": content}
    with pytest.raises(WeightsError, match="holds no tensors"):
        bring(write(tmp_path / "x.pth", content))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_containers(tmp_path, container, zipped):
    tensors = state()
    source = write(tmp_path / "IRN_x4.pth.tar", CONTAINERS[container](tensors), zipped)
    report = bring(source)
    loaded, metadata = weights.load(report.path)
    assert sorted(loaded) == sorted(LAYOUT)
    assert all(torch.equal(loaded[key], tensors[key]) and loaded[key].dtype == tensors[key].dtype for key in LAYOUT)
    source_sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    assert metadata == {
        "method": "irn",
        "part": "x4",
        "tag": "published",
        "source": "IRN_x4.pth.tar",
        "source_sha256": source_sha256,
    }
    assert (report.source_sha256, report.tensors, report.parameters) == (source_sha256, 4, 108 + 4)
    assert report.sha256 == hashlib.sha256(report.path.read_bytes()).hexdigest()


def test_safetensors_and_other_precisions(tmp_path):
    tensors = {key: value.half() if value.is_floating_point() else value for key, value in state().items()}
    source = tmp_path / "x.safetensors"
    weights.save(source, prefixed(tensors), {})
    loaded, _ = weights.load(bring(source).path)
    assert loaded["a.weight"].dtype == torch.float32
    assert torch.equal(loaded["a.weight"], tensors["a.weight"].float())
    assert loaded["bn.num_batches_tracked"].dtype == torch.int64


def test_an_import_is_repeatable(tmp_path):
    source = write(tmp_path / "x.pth", state())
    assert len({bring(source).sha256 for _ in range(4)}) == 1


def test_ignored_keys_are_left_out_and_told(tmp_path):
    source = write(tmp_path / "x.pth", prefixed(state() | {"jpeg.table": torch.ones(8, 8)}))
    assert bring(source, ignored=["jpeg.*", "a.*"]).ignored == ("jpeg.table",)
    with pytest.raises(WeightsError, match=r"1 unexpected \(jpeg\.table\)"):
        bring(source)


def test_differences_are_readable(tmp_path):
    tensors = state() | {"extra": torch.ones(1)}
    tensors["a.weight"] = torch.ones(2, 3, 3, 3)
    source = write(tmp_path / "x.pth", tensors)
    expected = LAYOUT | {f"more.{number}": (1,) for number in range(5)}
    with pytest.raises(WeightsError) as error:
        bring(source, expected)
    text = str(error.value)
    assert "5 missing (more.0, more.1, more.2, … 2 more)" in text
    assert "1 unexpected (extra)" in text
    assert "1 of another shape (a.weight: file (2, 3, 3, 3), network (4, 3, 3, 3))" in text
    assert "looks like" not in text
    assert not (tmp_path / "out").exists()


def test_another_part_is_recognised(tmp_path):
    other = {"a.weight": (2, 3, 3, 3)}
    source = write(tmp_path / "x.pth", state(other) | {"jpeg.0": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"this looks like part x2$"):
        bring(source, ignored=["jpeg.*"], others={"x2": lambda: other, "x8": lambda: {"b": (1,)}})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(tmp_path, value):
    tensors = state()
    tensors["a.bias"][2] = value
    with pytest.raises(WeightsError, match=r"a\.bias holds values that are not finite"):
        bring(write(tmp_path / "x.pth", tensors))


@pytest.mark.parametrize("odd", [torch.ones(4, dtype=torch.complex64), torch.ones(4).to_sparse()])
def test_tensors_of_other_kinds(tmp_path, odd):
    with pytest.raises(WeightsError, match=r"a\.bias is not a plain tensor"):
        bring(write(tmp_path / "x.pth", state() | {"a.bias": odd}))


def test_a_key_with_and_without_prefix(tmp_path):
    with pytest.raises(WeightsError, match=r"a\.bias twice"):
        bring(write(tmp_path / "x.pth", state() | {"module.a.bias": torch.ones(4)}))


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, form):
    trap = tmp_path / "ran"
    content = {"state_dict": state(), "x": Trap(trap)}
    source = tmp_path / "evil.pth"
    if form == "bare":
        source.write_bytes(pickle.dumps(content))
    else:
        write(source, content, form == "zip")
    with pytest.raises(WeightsError) as error:
        bring(source)
    assert not trap.exists()
    assert not (tmp_path / "out").exists()
    assert "evil.pth" in str(error.value)
    if form != "bare":
        assert "was refused" in str(error.value)
        assert f"{os.mkdir.__module__}.mkdir" in str(error.value)
        torch.load(source, weights_only=False)  # the trap is a live one
        assert trap.exists()


@pytest.mark.parametrize("extra", [argparse.Namespace(a=1), torch.nn.Linear(1, 1), collections.defaultdict(list)])
def test_objects_other_than_tensors_are_refused_by_name(tmp_path, extra):
    source = write(tmp_path / "x.pth", {"state_dict": state(), "args": extra})
    with pytest.raises(WeightsError, match=rf"was refused.*{type(extra).__name__}"):
        bring(source)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.1, 0.5, 0.99])
def test_truncated_files(tmp_path, zipped, part):
    source = write(tmp_path / "x.pth", state(), zipped)
    content = source.read_bytes()
    source.write_bytes(content[: int(part * len(content))])
    with pytest.raises(WeightsError, match=r"x\.pth is damaged or no checkpoint"):
        bring(source)


def test_things_that_are_no_checkpoint(tmp_path):
    source = tmp_path / "x.pth"
    with pytest.raises(WeightsError, match="no such file"):
        bring(source)
    source.write_bytes(b"\n<!DOCTYPE html><title>Quota exceeded</title>")
    with pytest.raises(WeightsError, match="is a web page"):
        bring(source)
    write(source, {"epoch": 3, "loss": 0.1})
    with pytest.raises(WeightsError, match="holds no tensors; its entries: epoch, loss"):
        bring(source)
    write(source, [1, 2])
    with pytest.raises(WeightsError, match="holds a list"):
        bring(source)
    inner = write(tmp_path / "inner.pth", state())
    with tarfile.open(source, "w") as archive:
        archive.add(inner, "inner.pth")
    with pytest.raises(WeightsError, match="is damaged or no checkpoint"):
        bring(source)
    endless = {"epoch": 3}
    endless["model"] = endless
    write(source, endless)
    with pytest.raises(WeightsError, match="holds no tensors; its entries: epoch, model"):
        bring(source)


# --- MATLAB ---------------------------------------------------------------------


def test_matlab_files(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "words": "no number", "cells": np.array([1, "x"], dtype=object)}
    savemat(tmp_path / "x.mat", arrays)
    found = read(tmp_path / "x.mat")
    assert found.keys() == {"a"}
    assert torch.equal(found["a"], torch.arange(6.0).view(2, 3).double())


def test_matlab_files_that_cannot_be_used(tmp_path):
    source = tmp_path / "x.mat"
    savemat(source, {"a": np.zeros((4000, 4000))}, do_compression=True)
    with pytest.raises(WeightsError, match=r"x\.mat was refused: it would unpack to 16000000 numbers"):
        read(source)
    savemat(source, {"a": np.random.default_rng(0).random((40, 40))})
    source.write_bytes(source.read_bytes()[:3000])
    with pytest.raises(WeightsError, match=r"x\.mat is damaged or no MATLAB file"):
        read(source)


# --- published layouts -------------------------------------------------------------

CASES = {
    "irn_x2": 1_668_000,
    "irn_x4": 4_355_376,
    "irn_x8": 11_120_256,
    "irn_e_x4": 5_374_608,
    "irn_ld_x3": 3_139_029,
    "irn_color": 1_413_601,
    "irn_crm": 5_795_843,
    "car_x2": 10_645_663,
    "car_x4": 9_896_455,
    "aidn_s2.0": 3_775_362,
    "edsr_r16f64_x2": None,
    "edsr_r16f64_x3": None,
    "edsr_r16f64_x4": None,
}
"""Parameters as the spec files give them (they give none for the baseline EDSR)."""


@pytest.fixture(scope="module")
def fill(parity_root):
    spec = importlib.util.spec_from_file_location("parity_fill", parity_root / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def published(system, tensors):
    """Wrap a state as the case's "container" says the published file does."""
    if system == "aidn":
        return {
            "epoch": 300,
            "state_dict": prefixed(tensors),
            "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]},
        }
    return prefixed(tensors) if system.startswith("car") else tensors


@pytest.mark.parametrize("name", CASES)
def test_published_layouts_come_through_unchanged(name, fill, parity_root, tmp_path):
    case, arrays, _ = fill.load_case(parity_root / name)
    tensors = {key: torch.from_numpy(np.array(array)) for key, array in arrays.items()}
    zipped = not name.startswith("irn")  # a release of 2020 may use the format of torch < 1.6
    source = write(tmp_path / f"{name}.pth", published(case["system"], tensors), zipped)
    report = bring(source, {key: array.shape for key, array in arrays.items()})
    loaded, _ = weights.load(report.path)
    assert loaded.keys() == tensors.keys()
    assert all(
        torch.equal(loaded[key], tensor) and loaded[key].dtype == tensor.dtype for key, tensor in tensors.items()
    )
    assert CASES[name] in (None, report.parameters)
    assert weights.read_header(report.path).parameters == report.parameters
