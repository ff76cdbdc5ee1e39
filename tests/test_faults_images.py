"""Images that change or vanish while a run goes on."""

import shutil

import fault_runs
import pandas as pd
import pytest

from rescale_bench.machine.printable import plural
from rescale_bench.runs.folder import read_table


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return fault_runs.make_world(tmp_path_factory)


def test_images_that_change_and_vanish_fail_and_nothing_wrong_is_kept(world, tmp_path, capfd, monkeypatch):
    """The first cell overwrites p1 with p0 and deletes p2; put back, the same command measures what is missing."""
    images = tmp_path / "toys"
    shutil.copytree(world.images, images)
    grid = ("-m", "meddles,bicubic", "-s", "2,3", "--limit", "3")
    monkeypatch.setenv("TOY_FAULT", "meddles")
    monkeypatch.setenv("TOY_IMAGES", str(images))
    # The largest file is measured first; the others are then read after they were meddled with.
    code, said = world.call(capfd, tmp_path / "run", *grid, images=images)
    assert code == 1
    rows = read_table(tmp_path / "run")
    failed = rows[rows["status"] == "failed"]
    assert set(failed["image"]) <= {"p1", "p2"}
    causes = {
        "p1": f"{images / 'p1.png'} changed while the run was going on; run the same command again",
        "p2": f"{images / 'p2.png'}: no such file",
    }
    assert {row.image: row.error for row in failed.itertuples()} == {
        name: causes[name] for name in set(failed["image"])
    }
    for name in set(failed["image"]):
        assert sum(causes[name] in line for line in said) == 1, said
    good = world.agrees(tmp_path / "run")
    assert len(good) + failed["cell"].nunique() == 12
    for name in ("p1", "p2"):
        shutil.copy(world.images / f"{name}.png", images)
    monkeypatch.setenv("TOY_FAULT", "")
    code, said = world.call(capfd, tmp_path / "run", *grid, images=images)
    assert (code, len(said)) == (0, 1)
    assert f"{plural(12 - len(good), 'cell')} measured, {len(good)} taken from the store" in said[0]
    world.complete(tmp_path / "run", "meddles,bicubic", "2,3", 3)


def test_an_image_that_stays_changed_is_measured_as_what_it_is(world, tmp_path, capfd):
    """Both contents of p1 have rows of their own; numbers of the old one are neither lost nor given to the new one."""
    images = tmp_path / "toys"
    shutil.copytree(world.images, images)
    grid = ("-m", "bicubic", "-s", "2", "--limit", "2", "-q")
    assert world.call(capfd, tmp_path / "run", *grid, images=images) == (0, [])
    shutil.copy(world.images / "p3.png", images / "p1.png")
    assert world.call(capfd, tmp_path / "run", *grid, images=images) == (0, [])
    rows = pd.read_parquet(tmp_path / "run" / "results.parquet")
    psnr = rows[rows["metric"] == "psnr_y"]
    known = world.rows.query("method == 'bicubic' and scale == '2' and metric == 'psnr_y'").set_index("image")["value"]
    assert list(psnr["image"]) == ["p0", "p1", "p1"]
    assert list(psnr["value"]) == [known["p0"], known["p1"], known["p3"]]
    assert psnr["image_sha256"].nunique() == 3
