"""What may stand on a leaderboard, the file that carries a run there, and the pages that are made of it."""

import json
import re
import zipfile

import pytest
from site_rows import rows, write

from rescale_bench.api.registry import load_registry
from rescale_bench.cli import main
from rescale_bench.errors import StoreError, UsageError
from rescale_bench.report.admission import admit
from rescale_bench.report.site import Look, build_site
from rescale_bench.report.submitting import prepare_submission
from rescale_bench.runs.folder import Run, read_table
from rescale_bench.runs.submission import read_submission


@pytest.fixture(scope="module")
def registry():
    return load_registry(())


def files(folder, *tables):
    return [write(folder / f"run{number}.csv", table) for number, table in enumerate(tables)]


def lines(folder, registry, *tables):
    return admit(files(folder, *tables), registry).refusals


# --- admission -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "failed", "value": float("nan")}, "failed"),
        ({"weights": "random"}, "random weights"),
        ({"weights": "small"}, "weights without their SHA-256"),
        ({"origin": "files", "lr_height": float("nan")}, "without LR files"),
        ({"protocol_version": 7}, "protocol rgb8 version 7, where 1 is current"),
        ({"protocol": "mine"}, "protocol mine, which is not known here"),
        ({"metric_version": "rescale-bench/0"}, "psnr_y version rescale-bench/0, where rescale-bench/1 is current"),
        ({"image_sha256": ""}, "an image without its SHA-256"),
        ({"dataset": "photos"}, "an image that is not of photos"),
        ({"value": float("nan")}, "no value"),
        ({"tolerance": "much"}, "a tolerance that is not a number"),
    ],
)
def test_rows_that_cannot_count_are_left_out_with_the_reason(tmp_path, registry, changes, reason):
    bad = rows(methods=("mine",), metrics=("psnr_y",), **changes)
    admitted = admit(files(tmp_path, rows(), bad), registry)
    assert set(admitted.rows["method"]) == {"bicubic", "irn"}
    (line,) = admitted.refusals
    assert re.match(r"run1: mine\b.*: .*\(2 rows left out\)", line)
    assert reason in line


def test_a_data_set_of_an_odd_name_ends_nothing(tmp_path, registry):
    admitted = admit(files(tmp_path, rows(), rows(dataset="set@home")), registry)
    assert set(admitted.rows["dataset"]) == {*rows()["dataset"], "set@home"}


def test_nothing_that_may_be_published_is_an_error(tmp_path, registry):
    with pytest.raises(UsageError, match="random weights"):
        admit(files(tmp_path, rows(weights="random")), registry)


def test_a_damaged_file_is_named_and_the_rest_counts(tmp_path, registry):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK nothing")
    admitted = admit([broken, *files(tmp_path, rows())], registry)
    assert len(admitted.rows) == 8
    assert re.match(r"broken: .*broken.zip is no submission", admitted.refusals[0])


def test_the_same_measurement_counts_once_and_the_first_one(tmp_path, registry):
    again = rows().assign(value=lambda table: table["value"] + 5e-5)
    admitted = admit(files(tmp_path, rows(), again), registry)
    assert admitted.refusals == ()
    assert sorted(admitted.rows["value"]) == sorted(rows()["value"])
    assert [source.name for source in admitted.sources] == ["run0", "run1"]


def test_another_value_of_the_same_measurement_leaves_the_later_method_out(tmp_path, registry):
    other = rows(methods=("bicubic", "irn", "new"))
    place = other[(other["method"] == "irn") & (other["metric"] == "psnr_y")].index[0]
    before = other.loc[place, "value"]
    other.loc[place, "value"] = before + 0.02
    admitted = admit(files(tmp_path, rows(), other), registry)
    (line,) = admitted.refusals
    assert line.startswith("run1: irn: contradicts what was there before: psnr_y of mine/image0 ×2 is ")
    assert "(4 rows left out)" in line
    assert before in set(admitted.rows["value"])
    assert set(admitted.rows.loc[admitted.rows["source"] == "run1", "method"]) == {"new"}


def test_a_file_that_contradicts_itself(tmp_path, registry):
    import pandas as pd

    twice = pd.concat([rows(methods=("new",)), rows(methods=("new",)).assign(value=1.0)])
    admitted = admit(files(tmp_path, rows(), twice), registry)
    assert "run1: new: contradicts" in admitted.refusals[0]
    assert "new" not in set(admitted.rows["method"])


def test_a_tolerance_of_their_own_does_not_help(tmp_path, registry):
    other = rows().assign(value=lambda table: table["value"] + 1, tolerance="1000")
    assert len(lines(tmp_path, registry, rows(), other)) == 2


def test_what_a_file_says_of_our_metrics_is_not_believed(tmp_path, registry):
    admitted = admit(files(tmp_path, rows(direction="down", unit="miles", decimals=9)), registry)
    assert set(admitted.rows.loc[admitted.rows["metric"] == "psnr_y", "unit"]) == {"dB"}
    assert set(admitted.rows["direction"]) == {"up"}


def test_an_image_of_the_same_name_and_another_content(tmp_path, registry):
    other = rows(methods=("new",), image_sha256="f" * 64)
    (*_, line) = lines(tmp_path, registry, rows(), other)
    assert line == "run1: mine/image1: another file than the one that was there before (2 rows left out)"


def test_a_registered_set_holds_no_more_images_than_it_has(tmp_path, registry, monkeypatch):
    monkeypatch.delenv("RESCALE_BENCH_DATA", raising=False)
    monkeypatch.setenv("RESCALE_BENCH_CACHE", str(tmp_path / "cache"))
    (line,) = lines(tmp_path, registry, rows(sets=("Set5",), images=5), rows(("new",), sets=("Set5",), images=7))
    assert line == "run1: Set5: more images than its 5: image5, image6 left out"


def test_the_photographs_are_known_by_their_content(registry):
    """Our own reference rows are the first content, and all of them count."""
    from pathlib import Path

    path = Path(__file__).parents[1] / "results/reference/photos.csv.gz"
    admitted = admit([path], registry)
    assert (len(admitted.rows), admitted.refusals) == (len(read_table(path)), ())


# --- submissions -----------------------------------------------------------------


@pytest.fixture
def packed(tmp_path, registry):
    table = rows(methods=("bicubic", "mine"))
    table.loc[table["method"] == "mine", "status"] = "failed"
    (path,) = files(tmp_path, table)
    prepared = prepare_submission(path, read_table(path), registry)
    prepared.write(tmp_path / "sub.zip")
    return tmp_path / "sub.zip", prepared


def test_a_submission_is_read_like_a_run(packed):
    path, prepared = packed
    run = Run(path)
    assert list(run.rows()["value"]) == list(prepared.rows["value"])
    assert set(run.rows()["method"]) == {"bicubic"}
    assert run.card["methods"]["bicubic"]["Paper"].startswith("Keys")
    assert set(run.card["sha256"]) == {"rows.csv", "run.json", "env.json"}
    assert (False, "left out: mine: failed (4 rows left out)") in prepared.checklist


def test_equal_runs_give_equal_bytes(packed, tmp_path):
    path, prepared = packed
    prepared.write(tmp_path / "again.zip")
    assert path.read_bytes() == (tmp_path / "again.zip").read_bytes()


def test_a_digit_that_was_changed_is_seen(packed, tmp_path):
    path, _ = packed
    members = read_submission(path)
    members["rows.csv"] = members["rows.csv"].replace(b"bicubic", b"bicubik", 1)
    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(forged, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(StoreError, match=r"rows\.csv is not the file"):
        read_table(forged)
    assert Run(forged).card == {}


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_cut_and_broken_archives_are_refused(packed, tmp_path, place):
    path, _ = packed
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0xFF
    for bad in (bytes(content), path.read_bytes()[: int(place * len(content))]):
        broken = tmp_path / "broken.zip"
        broken.write_bytes(bad)
        try:
            assert read_submission(broken)["rows.csv"] == read_submission(path)["rows.csv"]
        except StoreError as error:
            assert "broken.zip" in str(error)  # noqa: PT017


def test_an_archive_that_unpacks_to_much_is_refused(packed, monkeypatch):
    monkeypatch.setenv("RESCALE_BENCH_MAX_TABLE_BYTES", "1000")
    with pytest.raises(StoreError, match="RESCALE_BENCH_MAX_TABLE_BYTES"):
        read_submission(packed[0])


def test_folders_of_the_user_are_not_published(tmp_path, registry):
    from pathlib import Path

    (path,) = files(tmp_path, rows())
    folder = tmp_path / "run"
    run = Run(folder)
    folder.mkdir()
    read_table(path).to_parquet(folder / "results.parquet")
    home = str(Path.home())
    run.write("run.json", {"history": [f"rescale-bench run -o {home}/secret"], "metrics": {}})
    run.write("env.json", {"python": "3", "variables": {"RESCALE_BENCH_DATA": "/data/secret"}})
    prepared = prepare_submission(folder / "results.parquet", read_table(path), registry)
    assert "~/secret" in json.dumps(prepared.documents)
    assert home + "/" not in json.dumps(prepared.documents)
    assert "/data/secret" not in json.dumps(prepared.documents)


# --- pages -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory, registry):
    folder = tmp_path_factory.mktemp("site")
    tables = (
        rows(("bicubic", "irn"), sets=("mine", "yours"), scales=("2", "4")),
        rows(("<b>&../evil",), sets=("mine",)),
        rows(("theirs",), sets=("mine",), origin="files"),
    )
    return build_site(admit(files(folder, *tables), registry), registry, Look())


def test_every_link_leads_to_a_file_of_the_site(site):
    from urllib.parse import unquote

    for name, text in site.items():
        if name.endswith(".html"):
            for link in re.findall(r'(?:href|src)="(?!data:,)([^"#]+)', text):
                assert unquote(link) in site, (name, link)


def test_nothing_is_loaded_from_elsewhere_and_names_stay_text(site):
    for name, text in site.items():
        assert not re.search(r'(?:src|href)="(?:https?:)?//', text), name
        assert "<b>&" not in text, name
    (page,) = (name for name in site if "evil" in name)
    assert re.fullmatch(r"method-[\w.-]+\.html", page)


def test_tables_have_captions_and_scopes(site):
    for name, text in site.items():
        for table in re.findall(r"<table.*?</table>", text, re.S):
            assert "<caption" in table, name
            assert set(re.findall(r"<th\b[^>]*scope=\"(\w+)\"", table)) >= {"col"}, name
            assert table.count("<th") - table.count("<thead") == len(re.findall(r"<th [^>]*scope=", table)), name


def test_the_overview_lays_methods_over_data_sets(site):
    index = site["index.html"]
    assert json.loads(re.search(r'id="boards">(.*?)</script>', index, re.S)[1])[0]["set"] == "all data sets"
    heads = re.findall(r'data-name="([^"]+)"', index)
    assert heads == ["scale", "method", "mine", "yours"]
    (row,) = re.findall(r'<tr data-method="theirs \{files\}" data-scale="2".*?</tr>', index, re.S)
    assert ">–<" in row


def test_the_page_of_a_method_says_what_it_is_and_its_places(site):
    text = site["method-irn.html"]
    assert "Invertible Image Rescaling" in text
    assert "1 of 2" in text
    assert "compare.html#set=mine" in text
    assert "images made elsewhere" in site["method-theirs.html"]


def test_the_values_of_single_images_are_those_of_the_rows(site):
    (name,) = (name for name, text in site.items() if name.startswith("data/images-") and "theirs" in text)
    data = json.loads(re.fullmatch(r'rescaleBench\("[\w.-]+", (.*)\);\n', site[name])[1])
    expected = rows(("bicubic", "irn"), sets=("mine", "yours"), scales=("2", "4"))
    mine = expected.query("method == 'irn' and dataset == 'mine' and scale == '2' and metric == 'psnr_y'")
    assert data["methods"]["irn"]["psnr_y"] == pytest.approx(list(mine["value"]), abs=1e-5)
    assert data["quantiles"][2] == pytest.approx(12.7062)


def test_pages_for_what_the_rows_hold(tmp_path, registry, site):
    assert not {"claims.html", "robustness.html", "ceilings.html"} & set(site)
    trained = {"weights": "small", "weights_sha256": "a" * 64}
    tables = (
        rows(("bicubic",), images=5),
        rows(("bicubic", "irn"), images=5, damage="noise:levels=1"),
        rows(("bicubic", "irn"), images=5, damage="noise:levels=2"),
        rows(("car-edsr", "irn"), images=5, **trained),
        rows(("top",), images=5, ceiling=True),
    )
    made = build_site(admit(files(tmp_path, *tables), registry), registry, Look())
    article = re.search(r'<article id="irn-over-car-x2".*?</article>', made["claims.html"], re.S)[0]
    assert "IRN beats CAR &amp; EDSR by more than 4 dB of Y-PSNR at ×2." in article
    assert '<span class="verdict open">open</span> Contradicted, but by weights with little training' in article
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", article))
    assert (facts["Wanted"], facts["Images"]) == ("&gt; 4", "5")
    assert facts["Weights"].startswith("small")
    assert re.fullmatch(r"[+-]0\.\d+ ± 0\.\d+ dB", facts["Effect"])
    assert '<a href="method-irn.html">irn</a>' in article
    assert '<a href="claims.html#irn-over-car-x2">' in made["method-irn.html"]
    assert "No rows of" in re.search(r'<article id="fgrn-small".*?</article>', made["claims.html"], re.S)[0]
    assert "noise by levels" in made["robustness.html"]
    assert re.search(r'<th scope="row"[^>]*><a href="method-bicubic.html">', made["robustness.html"])
    assert "{noise" not in made["index.html"]
    assert "uniform noise of up to so many levels" in made["robustness.html"]
    assert "car-edsr" not in made["robustness.html"]  # measured without damage alone
    assert "top minus the method, psnr_y" in made["ceilings.html"]
    assert '<a href="claims.html">' in made["index.html"]


# --- commands --------------------------------------------------------------------


def test_submit_then_site(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files(tmp_path, rows(methods=("bicubic", "mine")))
    assert main(["submit", "run0.csv", "-o", "subs/mine.zip"]) == 0
    assert "[ ] nothing describes mine: give its --plugin" in capsys.readouterr().out
    assert main(["site", "subs", "-o", "out"]) == 0
    assert "8 rows of 1 run" in capsys.readouterr().err
    (tmp_path / "out" / "method-old.html").write_text("")
    write(tmp_path / "subs" / "bad.csv", rows(weights="random"))
    assert main(["site", "subs", "-o", "out", "--strict"]) == 1
    assert "left out: bad: " in capsys.readouterr().err
    assert not (tmp_path / "out" / "method-old.html").exists()


def test_a_folder_with_something_else_is_not_written_over(tmp_path, capsys):
    (run,) = files(tmp_path, rows())
    assert main(["site", str(run), "-o", str(tmp_path)]) == 2
    assert "--output: " in capsys.readouterr().err
