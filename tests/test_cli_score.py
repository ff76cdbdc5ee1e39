"""`score`: the numbers of the run that made the images, pairing by name, and bad input that loses nothing."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from rescale_bench.api.records import ImageFile
from rescale_bench.cli import main
from rescale_bench.errors import UsageError
from rescale_bench.images.files import read_image, write_png
from rescale_bench.runner.pairing import find_pairs
from rescale_bench.runs.folder import read_table

NAMES = ("bird", "cat", "dog")


@pytest.fixture
def hr(tmp_path):
    """Three colour pictures of 52 × 45 pixels, and one that holds grey alone."""
    generator = np.random.default_rng(4)
    (tmp_path / "hr").mkdir()
    for name in NAMES:
        ramp = np.linspace(0, 180, 52 * 45 * 3).reshape(45, 52, 3)
        write_png(tmp_path / "hr" / f"{name}.png", (ramp + generator.integers(0, 60, ramp.shape)).astype(np.uint8))
    write_png(tmp_path / "hr" / "grey.png", generator.integers(0, 256, (45, 52, 1)).astype(np.uint8))
    return tmp_path / "hr"


def run(capsys, *arguments):
    code = main([*map(str, arguments), "-q"])
    return code, capsys.readouterr().err


def kept(tmp_path, capsys, hr, *more, method="lanczos3"):
    """Run a method, and give its pictures the names that people give theirs."""
    folder = tmp_path / "run"
    code, err = run(capsys, "run", "-m", method, "-d", hr, "-s", "2", "--keep", "-o", folder, *more)
    assert code == 0, err
    table = read_table(folder)
    for part in ("sr", "lr"):
        (tmp_path / part).mkdir()
        for row in table.drop_duplicates("cell").itertuples():
            name = f"{row.image}_x2_{part.upper()}.png"
            shutil.copy(folder / "outputs" / f"{row.cell}-{part}.png", tmp_path / part / name)
    return table


def score(tmp_path, capsys, hr, *more):
    arguments = ("--name", "theirs", "--hr", hr, "--sr", tmp_path / "sr", "-s", "2", "-o", tmp_path / "scored")
    return run(capsys, "score", *arguments, *more)


def values(table, metrics=None):
    rows = table if metrics is None else table[table["metric"].isin(metrics)]
    return rows.set_index(["image", "metric"])[["value", "status"]].sort_index()


@pytest.mark.parametrize("protocol", ["rgb8", "car", "srcnn-y"])
def test_kept_images_give_the_numbers_of_their_run_bit_for_bit(tmp_path, capsys, hr, protocol):
    made = kept(tmp_path, capsys, hr, "--protocol", protocol, "--metrics", "psnr_y,ssim_y,psnr_rgb,psnr_lr,bpp_png")
    code, err = score(tmp_path, capsys, hr, "--lr", tmp_path / "lr", "--protocol", protocol,
                      "--metrics", "psnr_y,ssim_y,psnr_rgb,psnr_lr,bpp_png")  # fmt: skip
    assert code == 0, err
    scored = read_table(tmp_path / "scored")
    assert set(scored["origin"]) == {"files"}
    assert set(scored["method"]) == {"theirs"}
    # The LR that srcnn-y scores is a float one, which no file holds.
    shared = ["psnr_y", "ssim_y", "psnr_rgb", "bpp_png"] + ["psnr_lr"] * (protocol != "srcnn-y")
    pd.testing.assert_frame_equal(values(scored, shared), values(made, shared), check_exact=True)
    finite = scored[(scored["metric"] == "psnr_y") & np.isfinite(scored["value"])]
    assert len(finite) == 4
    if protocol == "srcnn-y":
        assert set(scored.loc[scored["metric"] == "psnr_lr", "status"]) == {"undefined"}


def test_rows_stand_beside_a_run_and_say_that_the_seal_does_not_hold(tmp_path, capsys, hr):
    kept(tmp_path, capsys, hr)
    for _ in range(2):  # the second time nothing is missing
        assert main(["score", "--name", "theirs", "--hr", str(hr), "--sr", str(tmp_path / "sr"), "-s", "2",
                     "-o", str(tmp_path / "run")]) == 0  # fmt: skip
        err = capsys.readouterr().err
    assert "4 taken from the store" in err
    assert main(["table", "-i", str(tmp_path / "run"), "--reference", "lanczos3"]) == 0
    text = capsys.readouterr().out
    assert "theirs {files}" in text
    assert "{files}: images made elsewhere" in text
    assert "lanczos3 {files}" not in text


def test_without_lr_its_metrics_are_undefined_where_they_are_asked_for(tmp_path, capsys, hr):
    kept(tmp_path, capsys, hr)
    assert score(tmp_path, capsys, hr)[0] == 0
    assert {"psnr_y", "ssim_y"} <= set(read_table(tmp_path / "scored")["metric"])
    assert not {"psnr_lr", "bpp_png", "seconds_up"} & set(read_table(tmp_path / "scored")["metric"])
    assert score(tmp_path, capsys, hr, "--metrics", "psnr_lr")[0] == 0
    rows = read_table(tmp_path / "scored").query("metric == 'psnr_lr'")
    assert (set(rows["status"]), set(rows["error"])) == ({"undefined"}, {"no LR image was given"})


def test_bits_are_those_of_the_given_file_and_of_the_same_pixels_as_png(tmp_path, capsys, hr):
    kept(tmp_path, capsys, hr, "--codecs", "jpeg:70", "--metrics", "psnr_y")
    from PIL import Image

    for path in sorted((tmp_path / "lr").glob("*.png")):
        Image.open(path).save(path.with_suffix(".jpg"), quality=70)
        path.unlink()
    code, err = score(tmp_path, capsys, hr, "--lr", tmp_path / "lr", "--metrics", "bpp")
    assert code == 2
    assert "does not say how it was encoded; name the codec (jpeg:90)" in err
    assert (
        score(tmp_path, capsys, hr, "--lr", tmp_path / "lr", "--codecs", "jpeg:70", "--metrics", "bpp,bpp_png")[0] == 0
    )
    rows = read_table(tmp_path / "scored").query("image == 'bird'").set_index("metric")
    file = tmp_path / "lr" / "bird_x2_LR.jpg"
    assert rows.loc["bpp", "value"] == 8 * file.stat().st_size / (44 * 52)
    assert rows.loc["bpp", "codec"] == "jpeg:quality=70"


def test_one_bad_image_is_a_failed_row_and_the_others_count(tmp_path, capsys, hr):
    kept(tmp_path, capsys, hr)
    (tmp_path / "sr" / "bird_x2_SR.png").write_bytes(b"no image")
    pixels = read_image(tmp_path / "sr" / "cat_x2_SR.png").pixels
    write_png(tmp_path / "sr" / "cat_x2_SR.png", pixels[:-1])
    (tmp_path / "sr" / "dog_x2_SR.png").rename(tmp_path / "sr" / "horse.png")
    code, err = score(tmp_path, capsys, hr)
    assert code == 1
    errors = read_table(tmp_path / "scored").query("status == 'failed'").groupby("image")["error"].first()
    assert "is not a PNG" in errors["bird"]
    assert errors["cat"] == "the restored image has 52×43 pixels where protocol rgb8 expects 52×44"
    assert errors["dog"] == "it has no partner among the given images"
    assert set(read_table(tmp_path / "scored").query("status == 'ok'")["image"]) == {"grey"}
    assert "Traceback" not in err


def test_what_has_no_partner_is_named_and_repaired_by_the_same_command(tmp_path, capsys, hr):
    kept(tmp_path, capsys, hr)
    (tmp_path / "sr" / "dog_x2_SR.png").rename(tmp_path / "sr" / "horse.png")
    arguments = ["score", "--name", "theirs", "--hr", str(hr), "--sr", str(tmp_path / "sr"), "-s", "2",
                 "-o", str(tmp_path / "scored")]  # fmt: skip
    assert main([*arguments, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "sr holds no partner of dog" in "".join(err.split("\n"))
    assert "no HR image for horse.png" in "".join(err.split("\n"))
    assert not (tmp_path / "scored").exists()
    assert ("bird_x2_SR.png" in out, "none" in out) == (True, True)
    assert main(arguments) == 1
    (tmp_path / "sr" / "horse.png").rename(tmp_path / "sr" / "dog.png")
    assert main(arguments) == 0
    assert "0 failed" not in capsys.readouterr().out
    assert main(["table", "-i", str(tmp_path / "scored"), "--format", "json"]) == 0
    assert {record["failed"] for record in json.loads(capsys.readouterr().out)} == {0}


def test_hr_is_cropped_by_crop(tmp_path, capsys, hr):
    kept(tmp_path, capsys, f"{hr}@mod12", "--metrics", "psnr_y")
    code, _ = score(tmp_path, capsys, hr, "--metrics", "psnr_y")
    assert code == 1  # 48 × 36 pixels where rgb8 expects 52 × 44
    assert score(tmp_path, capsys, hr, "--metrics", "psnr_y", "--crop", "12", "-d", "mine")[0] == 0
    rows = read_table(tmp_path / "scored").query("dataset == 'mine@mod12'")
    assert list(values(rows)["value"]) == list(values(read_table(tmp_path / "run"))["value"])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--name", "bicubic"), "--name: 'bicubic' is a method of rescale-bench; give these images another name"),
        (("--name", "two words"), "--name: 'two words' is not a name"),
        (("-s", "2,3"), "--scales: '2,3' is not one scale"),
        (("--sr", "nowhere"), "--sr: nowhere cannot be listed"),
        (("--sr", "{name}_SR.png"), "--sr: {name}_SR.png holds no partner of any HR image (bird, cat, dog)"),
        (("--crop", "0"), "--crop: 0 is outside 1 to 1024"),
    ],
)
def test_bad_flags_are_one_line(tmp_path, capsys, hr, arguments, line):
    shutil.copytree(hr, tmp_path / "sr")
    code, err = score(tmp_path, capsys, hr, *arguments)
    assert code == 2
    assert line in " ".join(err.split())


@pytest.mark.parametrize(
    "file",
    ["img_1.png", "img_1_x4.png", "img_1x4.png", "img_1_SR.png", "img_1_SRF_4_SR.png", "img_1-theirs.png",
     "img_1_theirs_x4.bmp", "IMG_1_x4_out.png".lower()],
)  # fmt: skip
def test_pairs_by_usual_names(tmp_path, file):
    for name in (file, "img_10_x4.png", "img_1_x2.png"):
        (tmp_path / name).touch()
    for name in ("img_1", "img_1_SRF_4_HR"):
        pairs = find_pairs([ImageFile(name, tmp_path)], str(tmp_path), ("4", "theirs"), "sr")
        assert pairs.files == {name: tmp_path / file}
        assert len(pairs.unused) == 2


def test_two_files_for_one_image_are_refused(tmp_path):
    for name in ("cat_x4.png", "cat_SR.png"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"two files .* fit the HR image cat: cat_SR.png and cat_x4.png"):
        find_pairs([ImageFile("cat", tmp_path)], str(tmp_path), ("4", "theirs"), "sr")
