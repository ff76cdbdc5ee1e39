"""Pictures in submissions and on the site: which may be published, what they show, and forged ones."""

import io
import json
import re
import zipfile

import numpy as np
import pytest
from kept_run import measured_run
from PIL import Image
from site_rows import rows

from rescale_bench.api.registry import load_registry
from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.images.files import read_image
from rescale_bench.report import site_pictures
from rescale_bench.report.admission import admit
from rescale_bench.report.site import Look, build_site
from rescale_bench.report.site_pictures import allowed, of_named
from rescale_bench.report.submitting import prepare_submission
from rescale_bench.runs.folder import Run, read_table
from rescale_bench.runs.submission import read_submission, write_submission


@pytest.fixture(scope="module")
def registry():
    return load_registry(())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two methods on two images of somebody's own folder, pictures kept."""
    return measured_run(tmp_path_factory.mktemp("pictures"))


def submission(run, registry, path, *named):
    prepared = prepare_submission(run, read_table(run), registry, named)
    prepared.write(path)
    return prepared


def shown(registry, *paths, pictures=()):
    """Build a site; gives its pictures by the name of their file, and what the comparison at ×2 says of them."""
    site = build_site(admit(paths, registry), registry, Look(pictures=tuple(pictures)))
    (data,) = (text for name, text in site.items() if name.startswith("data/images-"))
    said = json.loads(re.fullmatch(r'rescaleBench\("[\w.-]+", (.*)\);\n', data)[1])["pictures"]
    return {name: content for name, content in site.items() if name.startswith("pictures/")}, said


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_pictures_are_packed_on_request_alone(run, registry, tmp_path):
    assert submission(run, registry, tmp_path / "plain.zip").pictures.files == {}
    assert shown(registry, tmp_path / "plain.zip") == ({}, {})
    prepared = submission(run, registry, tmp_path / "with.zip", "mine")
    assert len(prepared.pictures.cells) == 4
    assert (True, "you say that everybody may see pictures of mine") in prepared.checklist
    assert len(shown(registry, tmp_path / "with.zip")[0]) == len(prepared.pictures.files)


def test_the_site_shows_what_the_run_kept_at_one_place_for_all_methods(run, registry):
    files, said = shown(registry, run, pictures=["mine"])
    cells = read_table(run).query("image == 'image1'").set_index("method")["cell"]
    kept = {part: read_image(Run(run).outputs.find(cells["bicubic"], part)).pixels for part in ("hr", "lr", "sr")}
    hr, lr, sr = (pixels(files[f"pictures/{name}.webp"]) for name in said["bicubic"]["image1"])
    assert said["nearest"]["image1"][0] == said["bicubic"]["image1"][0]
    # The noise lies in rows 40 to 100 and columns 30 to 90, and the crop is larger.
    places = [(top, left) for top in range(65) for left in range(65)
              if (kept["hr"][top : top + 96, left : left + 96] == hr).all()]  # fmt: skip
    ((top, left),) = places
    assert top <= 40
    assert left <= 30
    assert (sr == kept["sr"][top : top + 96, left : left + 96]).all()
    assert (lr == kept["lr"].repeat(2, 0).repeat(2, 1)[top : top + 96, left : left + 96]).all()


def test_a_folder_of_ones_own_is_shown_where_it_is_named(run, registry):
    assert shown(registry, run) == ({}, {})
    assert len(shown(registry, run, pictures=["mine"])[1]["bicubic"]) == 2


def test_licences_decide_over_registered_sets(registry):
    photos = rows(sets=("photos",), damage="").replace({"image": {"image0": "coffee", "image1": "motorcycle_left"}})
    assert set(photos[allowed(photos, registry, own=True)]["image"]) == {"coffee"}
    assert set(of_named(photos, ["photos"], registry)["image"]) == {"coffee"}
    with pytest.raises(UsageError, match="pictures of Set5 may not be published"):
        of_named(rows(sets=("Set5",), damage=""), ["Set5"], registry)
    with pytest.raises(UnknownNameError, match="did you mean mine"):
        of_named(rows(damage=""), ["mien"], registry)
    damaged = rows(damage="noise:levels=1")
    assert not allowed(damaged, registry, own=True).any()


def test_a_submission_may_not_carry_pictures_of_a_closed_set(run, registry, tmp_path):
    prepared = submission(run, registry, tmp_path / "own.zip", "mine")
    forged = prepared.rows.assign(dataset="Set5", image_sha256="a" * 64)
    write_submission(tmp_path / "set5.zip", forged, prepared.documents, prepared.card, prepared.pictures.files)
    assert site_pictures.unpack(Run(tmp_path / "set5.zip"), prepared.pictures.cells).cells
    may = allowed(Run(tmp_path / "set5.zip").rows(), registry, own=True)
    assert not may.any()


def test_no_more_than_the_limit_is_packed(run, registry, monkeypatch):
    whole = prepare_submission(run, read_table(run), registry, ("mine",)).pictures
    monkeypatch.setattr(site_pictures, "SUBMISSION_BYTES", whole.size - 1)
    prepared = prepare_submission(run, read_table(run), registry, ("mine",))
    assert len(prepared.pictures.cells) == 2
    assert any(text.startswith("no pictures of 2 cells") for holds, text in prepared.checklist if not holds)


def test_a_run_without_kept_pictures_says_so(run, registry, tmp_path):
    submission(run, registry, tmp_path / "plain.zip")
    path = tmp_path / "plain.zip"
    with pytest.raises(UsageError, match=r"kept no pictures of mine; .* --keep"):
        prepare_submission(path, read_table(path), registry, ("mine",))


@pytest.mark.parametrize("size", [(97, 10), (16383, 12000), (4, 4)])
def test_forged_pictures_are_left_out_and_the_rows_count(run, registry, tmp_path, size):
    prepared = submission(run, registry, tmp_path / "good.zip", "mine")
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "WEBP" if size[0] > 96 else "PNG")
    cells = dict.fromkeys(prepared.pictures.cells, dict.fromkeys(("hr", "lr", "sr"), "bad"))
    cells |= {"text": "no names", "other": {"hr": 1}, next(iter(cells)): {"hr": "../rows", "lr": "bad", "sr": "bad"}}
    write_submission(
        tmp_path / "forged.zip", prepared.rows, prepared.documents, {**prepared.card, "pictures": cells},
        {"bad": buffer.getvalue()},
    )  # fmt: skip
    assert shown(registry, tmp_path / "forged.zip") == ({}, {})


def test_a_changed_picture_is_seen(run, registry, tmp_path):
    submission(run, registry, tmp_path / "good.zip", "mine")
    members = read_submission(tmp_path / "good.zip")
    name = next(name for name in members if name.endswith(".webp"))
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content + b"x" if member == name else content)
    admitted = admit([tmp_path / "bad.zip", tmp_path / "good.zip"], registry)
    assert "damaged" in admitted.refusals[0]
