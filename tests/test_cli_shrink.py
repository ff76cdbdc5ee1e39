"""`shrink` and `restore`: the files of a run's cells, one at a time, and one clear line for all that goes wrong."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import toys
from PIL import Image

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.cli import main
from rescale_bench.codecs import encode_decode
from rescale_bench.images.comments import comment_of, with_comment
from rescale_bench.runner.single import Notes
from rescale_bench.runs.folder import read_table


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A picture of odd sides in the current folder."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(toys.picture(45, 62)).save("photo.png")
    return tmp_path / "photo.png"


def call(capsys, *arguments):
    code = main([*map(str, arguments), "--threads", "1"])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def pixels(path):
    return np.array(Image.open(path).convert("RGB"))


@pytest.mark.parametrize(
    ("method", "scale", "codec", "name"),
    [
        ("bicubic", "2", "png", "small.png"),
        ("lanczos3", "2.75", "jpeg:90", "small.jpg"),
        ("bicubic", "3", "webp", "small.webp"),
        ("bicubic", "2", "jpegls", "small.jls"),
        ("irn:weights=base,z=zero", "2", "png", "small.png"),
        ("irn-type3:weights=base", "1.9", "jpeg:75,subsampling=444", "small.jpg"),
        ("random", "2", "webp:80", "small.webp"),
    ],
)
def test_the_files_are_those_of_a_run(photo, capsys, method, scale, codec, name):
    toy = toys.plugin_file(photo.parent, toys.MISBEHAVING)
    (photo.parent / "set").mkdir()
    shutil.copy(photo, "set")
    run = ["run", "-m", method, "-s", scale, "-d", "set", "--codecs", codec, "--protocol", "rgb8-whole", "--keep", "-q"]
    assert main([*run, "--metrics", "psnr_y", "--plugin", toy, "-o", "run", "--threads", "1"]) == 0
    capsys.readouterr()
    (cell,) = set(read_table(photo.parent / "run").cell)

    assert (
        call(capsys, "shrink", method, "photo.png", "-s", scale, "-o", name, "--codec", codec, "--plugin", toy)[0] == 0
    )
    assert call(capsys, "restore", name, "-o", "back.png", "--plugin", toy)[0] == 0
    chosen = load_registry().choose_codec(parse_spec(codec))
    sent = chosen.record.decode((photo.parent / name).read_bytes())
    np.testing.assert_array_equal(sent, pixels(f"run/outputs/{cell}-lr.png"))
    np.testing.assert_array_equal(pixels("back.png"), pixels(f"run/outputs/{cell}-sr.png"))


@pytest.mark.parametrize(("codec", "inside"), [("png", True), ("jpeg:90", True), ("webp", False), ("jpegls", False)])
def test_notes_stand_in_the_file_or_beside_it_and_nothing_else_changes(photo, capsys, codec, inside):
    chosen = load_registry().choose_codec(parse_spec(codec))
    name = f"small{chosen.record.extension}"
    call(capsys, "shrink", "bicubic", "photo.png", "-s", "2", "-o", name, "--codec", codec)
    file, beside = (photo.parent / name).read_bytes(), photo.parent / f"{name}.json"
    assert beside.exists() is not inside
    noted = json.loads(comment_of(file) if inside else beside.read_text())
    assert (noted["method"], noted["scale"], noted["width"], noted["height"]) == ("bicubic", "2", 62, 45)

    plain, _ = encode_decode(chosen.record, chosen.record.decode(file), chosen.options)
    if codec != "jpeg:90":  # encoding what was decoded gives a lossless file again
        assert file == ((with_comment(plain, Notes(**noted).write())) if inside else plain)


def test_a_comment_changes_no_byte_of_a_jpeg_but_its_own():
    registry = load_registry()
    codec = registry.choose_codec(parse_spec("jpeg:90"))
    plain, _ = encode_decode(codec.record, toys.picture(20, 30), codec.options)
    noted = with_comment(plain, "ab c")
    start = noted.index(b"\xff\xfe")
    assert noted[start + 2 : start + 4] == (2 + len("rescale-bench ab c")).to_bytes(2, "big")
    assert noted[:start] + noted[start + 4 + len("rescale-bench ab c") :] == plain
    assert comment_of(noted) == "ab c"
    assert comment_of(plain) is None


def test_many_files_go_into_a_folder_and_a_broken_one_stops_no_other(photo, capsys):
    Image.fromarray(toys.picture(30, 31, 1)).save("other.jpg")
    (photo.parent / "text.png").write_text("no image")
    arguments = ["bicubic", "photo.png", "text.png", "nothing.png", "other.jpg", "-s", "2", "-o", "out"]
    code, out, err = call(capsys, "shrink", *arguments)
    assert code == 1
    assert out.count("\n") == 2
    assert err.splitlines() == [
        "rescale-bench: text.png: is not a PNG, BMP, JPEG, WebP or TIFF image",
        "rescale-bench: nothing.png: no such file",
    ]
    code, out, err = call(capsys, "restore", "out/photo.png", "text.png", "nothing.png", "out/other.png", "-o", "back")
    assert code == 1
    assert err.splitlines() == [
        "rescale-bench: text.png: not a whole png file",
        "rescale-bench: nothing.png: cannot be read (no such file or directory)",
    ]
    assert pixels("back/photo.png").shape == (45, 62, 3)
    assert pixels("back/other.png").shape == (30, 31, 3)


def test_flags_win_over_notes_and_serve_foreign_files(photo, capsys):
    call(capsys, "shrink", "bicubic", "photo.png", "-s", "2", "-o", "small.png")
    call(capsys, "restore", "small.png", "-m", "nearest", "-o", "near.png")
    call(capsys, "restore", "small.png", "--size", "61x46", "-o", "size.png")
    assert pixels("size.png").shape == (46, 61, 3)
    Image.open("small.png").save("foreign.bmp")  # the notes are lost, and no codec of ours reads it by its name
    Image.open("foreign.bmp").save("foreign.png")
    code, _, err = call(capsys, "restore", "foreign.png", "-o", "a.png")
    assert code == 1
    assert err == (
        "rescale-bench: --method: foreign.png does not say how it was made, nor does foreign.png.json; "
        "name method, scale and size\n"
    )
    assert call(capsys, "restore", "foreign.png", "-m", "nearest", "-s", "2", "--size", "62x45", "-o", "a.png")[0] == 0
    np.testing.assert_array_equal(pixels("a.png"), pixels("near.png"))
    assert call(capsys, "restore", "foreign.png", "-m", "nearest", "-s", "2", "-o", "whole.png")[0] == 0
    assert pixels("whole.png").shape == (46, 62, 3)
    code, _, err = call(capsys, "restore", "small.png", "--size", "99x99", "-o", "wrong.png")
    assert code == 1
    assert err == "rescale-bench: small.png: bicubic: an LR of 3×23×31 where 99×99 at scale 2 has 3×50×50\n"


def test_other_weights_than_the_file_was_made_with_are_refused_unless_named(photo, capsys):
    call(capsys, "shrink", "irn:weights=base", "photo.png", "-s", "2", "-o", "small.png")
    file = (photo.parent / "small.png").read_bytes()
    notes = Notes.read(comment_of(file), "")
    assert notes.weights == "base"
    plain = encode_decode(load_registry().codecs["png"], pixels("small.png"), {})[0]
    assert with_comment(plain, notes.write()) == file
    (photo.parent / "small.png").write_bytes(with_comment(plain, replace(notes, weights_sha256="0" * 64).write()))
    code, _, err = call(capsys, "restore", "small.png", "-o", "back.png")
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith("rescale-bench: --weights: small.png was made with weights 'base' (sha256 000000000000…)")
    assert call(capsys, "restore", "small.png", "-o", "back.png", "--weights", "base")[0] == 0


def test_nothing_is_replaced_unless_forced_and_never_the_picture_itself(photo, capsys):
    before = photo.read_bytes()
    shrink = ["shrink", "bicubic", "photo.png", "-s", "2", "-o"]
    assert call(capsys, *shrink, "small.webp")[0] == 0
    code, _, err = call(capsys, *shrink, "small.webp")
    assert (code, err) == (1, "rescale-bench: photo.png: small.webp exists; it is replaced with --force alone\n")
    (photo.parent / "small.webp").unlink()
    code, _, err = call(capsys, *shrink, "small.webp")
    assert (code, err) == (1, "rescale-bench: photo.png: small.webp.json exists; it is replaced with --force alone\n")
    assert call(capsys, *shrink, "small.webp", "--force")[0] == 0
    code, _, err = call(capsys, *shrink, "photo.png", "--force")
    assert (code, err) == (1, "rescale-bench: --output: photo.png is the picture itself; name another\n")
    assert photo.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-s", "2", "-o", "a.png", "photo.png", "photo.png"], "--output: a.png is one file, but there are 2 pictures"),
        (["-s", "2", "-o", "out", "photo.png", "photo.png"], "--output: several files would become out/photo.png"),
        (
            ["-s", "2", "-o", "a.png", "--codec", "jpeg", "photo.png"],
            "--output: a.png: a file of this format is called",
        ),
        (["-s", "2", "-o", "a.gif", "photo.png"], "--codec: a.gif: no codec has such files; name one, or a file of"),
        (["-s", "two", "-o", "a.png", "photo.png"], "--scale: 'two' is not a number"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_runs(photo, capsys, arguments, line):
    code, out, err = call(capsys, "shrink", "bicubic", *arguments)
    assert (code, out) == (2, "")
    assert " ".join(err.split()).startswith(f"rescale-bench: {line}")
    assert sorted(path.name for path in photo.parent.iterdir()) == ["photo.png"]


def test_scales_that_a_method_lacks_and_ceilings_are_refused(photo, capsys):
    code, _, err = call(capsys, "shrink", "irn", "photo.png", "-s", "3", "-o", "small.png")
    assert code == 1
    assert err.startswith("rescale-bench: photo.png: --scale: irn serves {2, 4, 8}: 3 left out; irn-type3 serves 3")
    code, _, err = call(capsys, "shrink", "identity-type3", "photo.png", "-s", "3", "-o", "small.png")
    assert code == 1
    assert "identity-type3 is a ceiling and no rescaler" in err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"method": "bicubic"}', '{"method": 1, "scale": "2"}', "[" * 30_000])
def test_damaged_notes_are_one_line(photo, capsys, text):
    file = with_comment(encode_decode(load_registry().codecs["png"], toys.picture(20, 30), {})[0], text)
    (photo.parent / "small.png").write_bytes(file)
    code, _, err = call(capsys, "restore", "small.png", "-o", "back.png")
    assert code == 1
    assert err == "rescale-bench: small.png: what it says about how it was made cannot be read\n"


@pytest.mark.parametrize("name", ["theirs.yaml", "./theirs.yaml", "bicubic+theirs.yaml", "graph"])
def test_a_file_from_elsewhere_runs_no_program(photo, capsys, name):
    mark = photo.parent / "was_run"
    command = f"touch {mark}"
    (photo.parent / "theirs.yaml").write_text(
        f'scales: [2]\ndown: "{command} {{hr}} {{lr}}"\nup: "{command} {{lr}} {{sr}}"\n'
    )
    notes = Notes(name, "2", 60, 40, version="1")
    file = with_comment(encode_decode(load_registry().codecs["png"], toys.picture(20, 30), {})[0], notes.write())
    (photo.parent / "small.png").write_bytes(file)
    code, _, err = call(capsys, "restore", "small.png", "-o", "back.png")
    assert code == 1
    assert err == (
        f"rescale-bench: --method: small.png asks for '{name}', which stands for files of its maker; name the method\n"
    )
    assert not mark.exists()
    if name == "theirs.yaml":  # the user may
        call(capsys, "restore", "small.png", "-o", "back.png", "-m", "./theirs.yaml")
        assert mark.exists()


def test_notes_that_ask_for_a_huge_picture_are_refused(photo, capsys):
    notes = Notes("bicubic", "2", 10**6, 10**6, version="1")
    file = with_comment(encode_decode(load_registry().codecs["png"], toys.picture(20, 30), {})[0], notes.write())
    (photo.parent / "small.png").write_bytes(file)
    code, _, err = call(capsys, "restore", "small.png", "-o", "back.png")
    assert code == 1
    assert err.count("\n") == 1
    assert "1000000×1000000 pixels are too many" in err


def test_a_method_that_breaks_is_a_line_and_the_next_file_goes_on(photo, capsys):
    toy = toys.plugin_file(photo.parent, toys.MISBEHAVING)
    code, _, err = call(capsys, "shrink", "nothing", "photo.png", "-s", "2", "-o", "small.png", "--plugin", toy)
    assert (code, err) == (1, "rescale-bench: photo.png: nothing: downscale returned NoneType, not a torch tensor\n")
    code, _, err = call(capsys, "shrink", "unbuildable", "photo.png", "-s", "2", "-o", "small.png", "--plugin", toy)
    assert code == 1
    assert "build raised RuntimeError: cannot build" in err


def test_tiles_give_the_picture_of_the_whole(photo, capsys):
    toy = toys.plugin_file(photo.parent, toys.FIXED)
    Image.fromarray(toys.picture(150, 171)).save("photo.png")
    for tile in ("off", "32"):
        call(capsys, "shrink", "boxes", "photo.png", "-s", "2", "-o", f"{tile}.png", "--tile", tile, "--plugin", toy)
        call(capsys, "restore", f"{tile}.png", "-o", f"back{tile}.png", "--tile", tile, "--plugin", toy)
    np.testing.assert_array_equal(pixels("backoff.png"), pixels("back32.png"))
    code, _, err = call(capsys, "shrink", "nearest", "photo.png", "-s", "2", "-o", "x.png", "--tile", "32")
    assert code == 1
    assert err.startswith("rescale-bench: photo.png: --tile: 32: nearest declares no margin")
