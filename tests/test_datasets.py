"""Data sets: the embedded photographs, research sets by name, folders and variants."""

import csv
import dataclasses
import http.server
import importlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections import Counter

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from rescale_bench import datasets
from rescale_bench.datasets import (
    find_dataset,
    folder_dataset,
    modcrop_variant,
    rescale_bench_datasets,
    split_variant,
)
from rescale_bench.datasets import photos as photos_module
from rescale_bench.datasets.catalogue import RESEARCH
from rescale_bench.datasets.preparation import count_known, pinned, prepare
from rescale_bench.datasets.research import locate
from rescale_bench.errors import UnavailableError, UnknownNameError, UsageError
from rescale_bench.images.files import pixel_hash, read_image

REGISTERED = {dataset.name: dataset for dataset in rescale_bench_datasets()}
BY_NAME = {research.name: research for research in RESEARCH}
RNG = np.random.default_rng(3)


def picture(path, side=6):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (side, side, 3), np.uint8)).save(path)
    return path


def pictures(folder, count, name="img_{:03}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / name.format(number)).write_bytes(b"never opened")
    return folder


@pytest.fixture
def data(tmp_path, monkeypatch):
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setenv("RESCALE_BENCH_DATA", str(root))
    return root


# --- the records ------------------------------------------------------------------


def test_the_records():
    assert list(REGISTERED) == ["photos", "Set5", "Set14", "BSD100", "Urban100", "DIV2K-val", "Kodak24"]
    assert [REGISTERED[name].count for name in REGISTERED] == [5, 5, 14, 100, 100, 100, 24]
    assert all(dataset.citation and dataset.licence and dataset.summary for dataset in REGISTERED.values())


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from rescale_bench.datasets import rescale_bench_datasets as h; list(h());"
        "print([m for m in ('torch', 'skimage', 'numpy', 'PIL', 'requests', 'pooch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- photos -----------------------------------------------------------------------


def test_photos_are_those_of_scikit_image():
    registry = importlib.import_module("skimage.data._registry").registry
    assert {f"data/{name}": sha for name, sha in photos_module.FILES.items()}.items() <= registry.items()
    files = REGISTERED["photos"].images()
    assert [file.name for file in files] == ["astronaut", "chelsea", "coffee", "motorcycle_left", "rocket"]
    for file in files:
        loaded = read_image(file.path)
        assert not loaded.grey
        assert loaded.notes == ()
        assert loaded.pixels.std(axis=2).mean() > 5, "colour photographs only"
        assert loaded.sha256 == photos_module.FILES[file.path.name]


def test_changed_photos_are_noticed(monkeypatch, tmp_path):
    monkeypatch.setitem(photos_module.FILES, "coffee.png", "0" * 64)
    with pytest.raises(UnavailableError, match=r"coffee\.png is not the file"):
        REGISTERED["photos"].images()
    monkeypatch.setattr(photos_module, "_data_folder", lambda: tmp_path)
    with pytest.raises(UnavailableError, match=r"astronaut\.png cannot be read .*pip install"):
        REGISTERED["photos"].images()
    monkeypatch.undo()
    monkeypatch.setattr(photos_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="scikit-image is not installed"):
        REGISTERED["photos"].images()


# --- research sets ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Set5", "Set14", "BSD100", "Kodak24"])
def test_research_sets_of_this_machine(data_root, name, monkeypatch):
    monkeypatch.setenv("RESCALE_BENCH_DATA", str(data_root))
    files = REGISTERED[name].images()
    assert len(files) == REGISTERED[name].count
    assert {file.path.parent for file in files} == {data_root / name}
    known = pinned(name)
    assert [file.name for file in files] == sorted(known, key=lambda text: (text.isdecimal() and int(text), text))
    for file in files[:3]:
        decoded = imagecodecs.png_decode(file.path.read_bytes())
        decoded = np.dstack([decoded] * 3) if decoded.ndim == 2 else decoded
        assert pixel_hash(decoded) == known[file.name]


def test_every_pinned_hash_is_of_its_own():
    path = importlib.resources.files("rescale_bench.datasets") / "pixels.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert Counter(row["dataset"] for row in rows) == {"Set5": 5, "Set14": 14, "BSD100": 100, "Kodak24": 24}
    assert len({row["sha256"] for row in rows}) == len(rows)
    assert all(len(row["sha256"]) == 64 for row in rows)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Set5", "Set5"),
        ("Set5", "set5"),
        ("Set5", "SET5/HR"),
        ("Set5", "Set5/original"),
        ("Set14", "set14/hr"),
        ("BSD100", "BSDS100"),
        ("BSD100", "b100/HR"),
        ("BSD100", "BSD100"),
        ("Urban100", "urban100/HR"),
        ("DIV2K-val", "DIV2K_valid_HR"),
        ("DIV2K-val", "DIV2K/DIV2K_valid_HR"),
        ("DIV2K-val", "div2k/div2k_VALID_hr"),
        ("Kodak24", "Kodak"),
        ("Kodak24", "kodak24"),
        ("Kodak24", "kodak"),
    ],
)
def test_spellings(data, name, folder):
    pictures(data / folder, BY_NAME[name].count)
    assert {file.path.parent for file in locate(BY_NAME[name])} == {data / folder}


def test_srf_folders_give_their_hr_files(data):
    for scale in (2, 4):
        folder = data / "Set5" / f"image_SRF_{scale}"
        for kind in ("HR", "LR", "bicubic", "SRCNN"):
            pictures(folder, 5, f"img_{{:03}}_SRF_{scale}_{kind}.png")
    files = locate(BY_NAME["Set5"])
    assert [file.path.name for file in files] == [f"img_00{n}_SRF_2_HR.png" for n in range(5)]
    assert [file.name for file in files] == [f"img_00{n}" for n in range(5)]


def test_several_data_folders_then_the_cache(tmp_path, monkeypatch, home):
    for name in ("one", "two"):
        pictures(tmp_path / name / ("Set5" if name == "two" else "Set14"), 5 if name == "two" else 14)
    monkeypatch.setenv("RESCALE_BENCH_DATA", f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}{os.pathsep}")
    assert locate(BY_NAME["Set5"])[0].path.parent == tmp_path / "two" / "Set5"
    pictures(home / "cache" / "datasets" / "Kodak24", 24)
    assert locate(BY_NAME["Kodak24"])[0].path.parent == home / "cache" / "datasets" / "Kodak24"


def test_a_complete_folder_wins_over_a_partial_one(data):
    pictures(data / "Set5", 3)
    with pytest.raises(UnavailableError, match=rf"Set5: 3 images in {data}/Set5, expected 5; complete it"):
        locate(BY_NAME["Set5"])
    pictures(data / "Set5" / "HR", 5)
    assert locate(BY_NAME["Set5"])[0].path.parent.name == "HR"


def test_a_missing_set_says_how_to_get_it(data, home):
    with pytest.raises(UnavailableError) as caught:
        REGISTERED["Set5"].images()
    for part in ("RESCALE_BENCH_DATA", "rescale-bench prepare --datasets Set5", str(data), str(home / "cache")):
        assert part in str(caught.value)


# --- prepare ----------------------------------------------------------------------


@pytest.fixture
def kodak(tmp_path, data_root, monkeypatch):
    """Serve Kodak24 from the loopback; return (record with patched home, server folder, requests)."""
    monkeypatch.setenv("RESCALE_BENCH_DATA", "")
    monkeypatch.setenv("RESCALE_BENCH_HTTP_LOOPBACK", "1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    folder, asked = tmp_path / "www", []
    shutil.copytree(data_root / "Kodak24", folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_request(self, *_):
            asked.append(self.path)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    base = BY_NAME["Kodak24"]
    address = f"http://127.0.0.1:{server.server_port}/"
    files = tuple((name, url.replace("https://r0k.us/graphics/kodak/kodak/", address)) for name, url in base.home.files)
    assert all(url.startswith(address) for _, url in files)
    yield dataclasses.replace(base, home=dataclasses.replace(base.home, files=files)), folder, asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_prepare_fetches_single_pictures_by_their_pixels(kodak, home):
    research, folder, asked = kodak
    # Other bytes with the same pixels are welcome, other pixels are not.
    Image.open(folder / "kodim01.png").save(folder / "kodim01.png", compress_level=1)
    right = (folder / "kodim03.png").read_bytes()
    shutil.copy(folder / "kodim02.png", folder / "kodim03.png")
    lines = []
    with pytest.raises(UnavailableError, match=r"kodim03\.png: the pixels are not the pinned ones"):
        prepare(research, lines.append)
    target = home / "cache" / "datasets" / "Kodak24"
    assert sorted(path.name for path in target.iterdir()) == ["kodim01.png", "kodim02.png"]
    (folder / "kodim03.png").write_text("<html>please log in</html>")
    with pytest.raises(UnavailableError, match=r"kodim03\.png gave no usable image"):
        prepare(research, lines.append)
    (folder / "kodim03.png").write_bytes(right)
    asked.clear()
    prepare(research, lines.append)
    assert asked == [f"/kodim{number:02}.png" for number in range(3, 25)]  # two were there already
    assert lines[-1] == f"Kodak24: 24 images in {target}; 24 of them have our pinned pixels"
    asked.clear()
    prepare(research, lines.append)
    assert asked == []


def test_prepare_offline_says_so(monkeypatch):
    monkeypatch.setenv("RESCALE_BENCH_OFFLINE", "1")
    monkeypatch.setenv("RESCALE_BENCH_DATA", "")
    with pytest.raises(UnavailableError, match="RESCALE_BENCH_OFFLINE is set"):
        REGISTERED["Kodak24"].prepare(print)


@pytest.mark.parametrize("name", ["Set5", "Set14", "BSD100", "Urban100"])
def test_prepare_fetches_nothing_that_it_cannot_verify(monkeypatch, home, name):
    monkeypatch.setenv("RESCALE_BENCH_DATA", "")
    with pytest.raises(UnavailableError) as caught:
        REGISTERED[name].prepare(print)
    text = str(caught.value)
    assert BY_NAME[name].home.page in text
    assert str(home / "cache" / "datasets" / name) in text
    assert "\n" not in text


def test_prepare_unpacks_an_archive_given_by_hand(monkeypatch, home):
    monkeypatch.setenv("RESCALE_BENCH_DATA", "")
    archive = home / "cache" / "downloads" / "DIV2K_valid_HR.zip"
    with pytest.raises(UnavailableError, match=rf"https://data\.vision.*DIV2K_valid_HR\.zip as {archive}"):
        REGISTERED["DIV2K-val"].prepare(print)
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(801, 901):
            file.writestr(f"DIV2K_valid_HR/0{number}.png", b"never opened")
    lines = []
    REGISTERED["DIV2K-val"].prepare(lines.append)
    place = home / "cache" / "datasets" / "DIV2K" / "DIV2K_valid_HR"
    assert lines[-1] == f"DIV2K-val: 100 images in {place}"
    assert REGISTERED["DIV2K-val"].images()[0].name == "0801"


def test_prepare_reports_what_is_there(data, data_root):
    shutil.copytree(data_root / "Set5", data / "Set5")
    (data / "Set5" / "head.png").write_bytes(b"damaged")
    picture(data / "Set5" / "bird.png")
    lines = []
    REGISTERED["Set5"].prepare(lines.append)
    assert lines == [f"Set5: 5 images in {data / 'Set5'}; 3 of them have our pinned pixels"]
    assert count_known("Set14", (data / "Set5").iterdir()) == 0


# --- folders ----------------------------------------------------------------------


def test_a_folder(tmp_path):
    folder = tmp_path / "my pictures"
    for name in ("img10.png", "img2.PNG", "IMG1.jpeg", "b.tif", ".hidden.png", "deep/c.png"):
        picture(folder / "tmp.png").rename((folder / name).parent.mkdir(exist_ok=True) or folder / name)
    (folder / "notes.txt").write_text("no")
    (folder / "text.png").write_text("becomes a failed row")
    (folder / "folder.png").mkdir()
    (folder / "gone.png").symlink_to(folder / "nowhere")
    dataset = folder_dataset(folder)
    assert dataset.name == "my pictures"
    assert dataset.count == 6
    assert [file.name for file in dataset.images()] == ["b", "gone", "IMG1", "img2", "img10", "text"]
    assert dataset.images()[0].path == folder / "b.tif"


def test_equal_stems_keep_their_extensions(tmp_path):
    for name in ("a.png", "a.bmp", "b.png"):
        picture(tmp_path / name)
    assert [file.name for file in folder_dataset(tmp_path).images()] == ["a.bmp", "a.png", "b"]


def test_names_that_are_not_utf8(tmp_path):
    picture(tmp_path / "x.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    assert [file.name for file in folder_dataset(tmp_path).images()] == ["\\xff"]


def test_bad_folders(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=rf"no folder {tmp_path}/none"):
        folder_dataset(tmp_path / "none")
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file; give the folder"):
        folder_dataset(tmp_path / "file.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("")
    with pytest.raises(UsageError, match=rf"no images in {tmp_path}/empty .*\.png"):
        folder_dataset(tmp_path / "empty")

    def denied(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("rescale_bench.datasets.listing.image_paths", denied)
    with pytest.raises(UsageError, match=r"cannot be read \(Permission denied"):
        folder_dataset(tmp_path / "empty")


# --- names and variants -------------------------------------------------------------


def test_split_variant():
    assert split_variant("Set5") == ("Set5", None)
    assert split_variant("Set5@mod12") == ("Set5", 12)
    assert split_variant("some/folder@mod8") == ("some/folder", 8)


@pytest.mark.parametrize(
    "name", ["Set5@mod0", "Set5@mod1", "Set5@foo", "Set5@", "@mod12", "Set5@mod", "Set5@mod-4", "Set5@mod1.5",
             "Set5@mod99999", "Set5@mod8@mod12", "Set5@mod１２"]
)  # fmt: skip
def test_malformed_variants(name):
    with pytest.raises(UsageError, match=r"^'") as refused:
        find_dataset(name, REGISTERED)
    assert refused.value.about == "datasets"


def test_find_by_name():
    assert find_dataset("Set5", REGISTERED) == (REGISTERED["Set5"], 1)
    assert find_dataset(" div2k-VAL ", REGISTERED) == (REGISTERED["DIV2K-val"], 1)
    variant, crop = find_dataset("set14@mod12", REGISTERED)
    assert (variant.name, crop) == ("Set14@mod12", 12)
    assert variant == modcrop_variant(REGISTERED["Set14"], 12)
    assert variant.images is REGISTERED["Set14"].images
    with pytest.raises(UnknownNameError, match="unknown dataset 'Set55': did you mean Set5"):
        find_dataset("Set55", REGISTERED)
    with pytest.raises(UnknownNameError, match="Urban100"):
        find_dataset("Urban10@mod4", REGISTERED)
    with pytest.raises(UsageError, match="empty"):
        find_dataset(" ", REGISTERED)


def test_find_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine/a.png", "Set5/b.png", "odd@home/c.png"):
        picture(tmp_path / name)
    assert find_dataset("mine", REGISTERED)[0].name == "mine"
    assert find_dataset("mine/", REGISTERED)[0].name == "mine"
    assert find_dataset("Set5", REGISTERED)[0] is REGISTERED["Set5"]
    assert find_dataset("./Set5", REGISTERED)[0].images()[0].name == "b"
    assert find_dataset("odd@home", REGISTERED)[0].name == "odd@home"
    variant, crop = find_dataset("./odd@home@mod4", REGISTERED)
    assert (variant.name, crop) == ("odd@home@mod4", 4)
    assert find_dataset(f"{tmp_path}/mine@mod3", REGISTERED)[1] == 3
    with pytest.raises(UsageError, match="no folder missing/one"):
        find_dataset("missing/one", REGISTERED)
    with pytest.raises(UsageError, match="is a file"):
        find_dataset("mine/a.png", REGISTERED)
    monkeypatch.chdir(tmp_path / "mine")
    assert find_dataset(".", REGISTERED)[0].name == "mine"
    assert datasets.find_dataset is find_dataset
