"""FID and KID of a kept run: real Inception-v3, random weights, made-up pictures."""

import json
import shutil
import socket
import warnings
from unittest import mock

import numpy as np
import pytest
import torch
from kept_run import failed, line, make_run

from rescale_bench.cli import main
from rescale_bench.errors import WeightsError
from rescale_bench.images.files import read_image, write_png
from rescale_bench.machine.torchvision_shim import import_torchvision
from rescale_bench.metrics import inception as ours
from rescale_bench.metrics.frechet import frechet_distance, kernel_distance
from rescale_bench.metrics.inception import INCEPTION
from rescale_bench.runs.folder import read_table

IMAGES = ("one", "two", "three")


def set_rows(run):
    """The rows of whole data sets: (method, metric) → row."""
    rows = read_table(run)
    rows = rows[rows["image"] == ""]
    return {(row["method"], row["metric"]): row for row in rows.to_dict("records")}


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory):
    """Random weights in the published layout, where the loader looks."""
    import_torchvision()
    from pyiqa.archs import inception

    with mock.patch.object(inception, "load_pretrained_network", return_value=None), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(The parameter 'pretrained'|Arguments other than a weight)")
        network = inception.fid_inception_v3()
    generator = torch.Generator().manual_seed(3)
    state = network.state_dict()
    for tensor in state.values():
        if tensor.ndim == 4:
            tensor.normal_(generator=generator).mul_((2 / tensor[0].numel()) ** 0.5)
    home = tmp_path_factory.mktemp("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        INCEPTION.location.parent.mkdir(parents=True)
        torch.save(state, INCEPTION.location)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def weights(torch_home, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(torch_home))

    def refuse(*arguments, **names):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def measured(torch_home, tmp_path_factory):
    """A run of three images and two methods, with its values."""
    folder = make_run(tmp_path_factory.mktemp("run") / "kept", IMAGES, ("2",), ("nearest", "bicubic"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(torch_home))
        assert main(["distribution", "-i", str(folder), "-q"]) == 0
    return folder


@pytest.fixture
def run(measured, tmp_path):
    return shutil.copytree(measured, tmp_path / "run")


def test_features_equal_pyiqas(weights, tmp_path):
    import_torchvision()
    from pyiqa.archs import fid_arch

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (70, 110, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", pixels)
    expected = fid_arch.get_folder_features(
        str(tmp_path), ours._network(str(INCEPTION.location)), num_workers=0, device="cpu", verbose=False
    )
    assert expected.shape == (1, 2048)
    assert expected.std() > 0.01
    assert ours.inception_features(pixels) == pytest.approx(expected[0], rel=1e-5)


def test_values_are_those_of_the_stored_pictures(weights, measured):
    values = set_rows(measured)
    assert len(values) == 4
    outputs = measured / "outputs"
    cells = [f"{index:024x}" for index in (1, 3, 5)]  # kept_run numbers them: nearest of each image

    def features(kind):
        return np.stack([ours.inception_features(read_image(outputs / f"{c}-{kind}.png").pixels) for c in cells])

    hr, sr = features("hr"), features("sr")
    assert values["nearest", "fid"]["value"] == pytest.approx(frechet_distance(hr, sr), rel=1e-6)
    assert values["nearest", "kid"]["value"] == pytest.approx(kernel_distance(hr, sr), rel=1e-6)
    assert values["nearest", "fid"]["value"] > 0
    assert values["nearest", "fid"]["height"] != values["nearest", "fid"]["height"]  # no image's size


def test_tables_show_them_with_the_warning(run, capsys):
    assert main(["table", "-i", str(run)]) == 0
    text = capsys.readouterr().out
    assert "psnr_y" in text
    assert "Whole data sets" in text
    assert "fid over 3 images is biased" in text
    assert "2048 Inception-v3 features (clean 299×299)" in text
    assert main(["table", "-i", str(run), "--metrics", "fid", "--format", "json"]) == 0
    records = json.loads(capsys.readouterr().out)
    values = {method: row["value"] for (method, metric), row in set_rows(run).items() if metric == "fid"}
    assert {one["method"]: one["mean"] for one in records} == values
    assert main(["table", "-i", str(run), "--metrics", "psnr_y"]) == 0
    assert "fid" not in capsys.readouterr().out
    page = run / "board.md"
    assert main(["export", "-i", str(run), "--leaderboard", str(page)]) == 0
    assert "over 3 images is biased" in page.read_text()


def test_report_shows_them(run):
    assert main(["report", "-i", str(run), "-q", "--no-direct"]) == 0
    page = (run / "report.html").read_text()
    assert "Whole data sets" in page
    assert "fid over 3 images is biased" in page


def test_a_second_call_measures_nothing(run, monkeypatch, torch_home, capsys):
    monkeypatch.setenv("TORCH_HOME", str(torch_home))
    monkeypatch.setattr(ours, "_network", None)
    before = (run / "journal.jsonl").read_bytes()
    assert main(["distribution", "-i", str(run)]) == 0
    out, err = capsys.readouterr()
    assert "0 values measured, 4 taken from the store" in err
    assert "psnr_y" not in out
    assert (run / "journal.jsonl").read_bytes() == before


def test_a_run_that_has_grown_shows_no_old_value(run, capsys):
    with (run / "journal.jsonl").open("a") as journal:
        for index, method in ((50, "nearest"), (51, "bicubic")):
            journal.write(json.dumps(line(index, method, "four", "2")) + "\n")
    assert main(["table", "-i", str(run)]) == 0
    text = capsys.readouterr().out
    assert "Whole data sets" not in text
    assert "run `rescale-bench distribution` again" in text


def test_failed_cells_leave_a_set_incomplete(weights, run, capsys):
    with (run / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps(line(60, "nearest", "four", "2")) + "\n")
        journal.write(json.dumps(failed(line(61, "bicubic", "four", "2"), "broken")) + "\n")
    assert main(["table", "-i", str(run), "--metrics", "fid"]) == 0  # bicubic's three images are the same as before
    text = capsys.readouterr().out
    assert "3/4" in text
    assert "‡ over fewer images" in text


def test_without_pictures_or_weights(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert main(["distribution", "-i", str(run)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(INCEPTION.location) in error
    assert "prepare --metrics fid" in error
    shutil.rmtree(run / "outputs")
    assert main(["distribution", "-i", str(run)]) == 2
    assert "run --keep" in capsys.readouterr().err


def test_one_image_has_no_distribution(weights, tmp_path, capsys):
    run = make_run(tmp_path / "small", ("one",), ("2",), ("nearest",))
    assert main(["distribution", "-i", str(run), "-q", "--format", "json"]) == 0
    assert [one["mean"] for one in json.loads(capsys.readouterr().out)] == [None, None]
    assert main(["table", "-i", str(run)]) == 0
    assert "undefined (fid needs 2 images, the set has 1)" in capsys.readouterr().out


def test_a_y_protocol_has_none(weights, tmp_path, capsys):
    run = make_run(tmp_path / "y", IMAGES, ("2",), ("nearest",), protocol="srcnn-y")
    for file in (run / "outputs").iterdir():  # as such a protocol leaves them
        write_png(file, read_image(file).pixels[:, :, :1])
    assert main(["distribution", "-i", str(run), "-q"]) == 0
    assert "features take RGB" in capsys.readouterr().out


def test_other_verbs_point_to_this_one(capsys, tmp_path):
    assert main(["run", "--metrics", "fid", "-o", str(tmp_path / "never"), "-d", "photos", "-q"]) == 2
    assert "rescale-bench distribution --metrics fid" in capsys.readouterr().err
    assert main(["distribution", "--metrics", "psnr_y", "-i", str(tmp_path)]) == 2
    assert "value of each image" in capsys.readouterr().err
    assert main(["info", "fid"]) == 0
    assert "biased" in capsys.readouterr().out


def test_weights_that_are_no_inception_are_told(run, tmp_path):
    (tmp_path / "few.pth").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot be read"):
        ours._network(str(tmp_path / "few.pth"))
    torch.save({"a": torch.zeros(1)}, tmp_path / "few.pth")
    with pytest.raises(WeightsError, match="not FID's Inception-v3"):
        ours._network(str(tmp_path / "few.pth"))


def test_a_bare_table_has_no_pictures(run, capsys):
    assert main(["export", "-i", str(run), "-o", str(run / "rows.csv")]) == 0
    assert main(["distribution", "-i", str(run / "rows.csv")]) == 2
    assert "holds no pictures" in capsys.readouterr().err
