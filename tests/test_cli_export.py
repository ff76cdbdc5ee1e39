"""`export`: each format read back by an outside reader, endings, stdout, refusals."""

import io
import json
import math
import re
import sys

import kept_run
import pandas as pd
import pytest
import toys

from rescale_bench.cli import main
from rescale_bench.runs.folder import read_table
from rescale_bench.runs.store import Store

HOSTILE = r"50%_of #1 & {two} $x^2$ ~a\b|c"


@pytest.fixture
def run(tmp_path):
    folder = kept_run.make_run(tmp_path / "run", keep=False)
    with Store(folder) as store:
        entry = kept_run.line(77, "bicubic", "three", "2")
        entry["values"]["psnr_y"]["value"] = math.inf
        entry["values"]["piqe_lr"] = {"status": "undefined", "version": "own/1", "value": None, "error": "too small"}
        store.append(entry)
        store.append(kept_run.line(78, HOSTILE, "three", "2"))
    return folder


def export(run, *arguments):
    return main(["export", "-i", str(run), *map(str, arguments)])


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz"])
def test_tidy_files_come_back_as_the_run(run, tmp_path, ending):
    path = tmp_path / "new" / f"rows{ending}"
    assert export(run, "-o", path) == 0
    expected, found = read_table(run), read_table(path)
    assert len(expected) == 28
    for name in ("cell", "method", "image", "scale", "metric", "status"):
        assert list(found[name]) == list(expected[name]), name
    pd.testing.assert_series_equal(found["value"], expected["value"], check_exact=True)


@pytest.mark.parametrize("verb", ["export", "table", "check", "plot", "report", "published", "distribution"])
def test_every_verb_that_reads_a_run_takes_its_plugins(run, tmp_path, capsys, verb):
    more = ["--baseline", str(run)] if verb == "check" else []
    missing = str(tmp_path / "missing.py")
    assert main([verb, "-i", str(run), "--plugin", missing, *more, *["--format", "json"] * (verb == "export")]) == 2
    assert f"plugin file {missing} does not exist" in capsys.readouterr().err


def test_export_with_the_plugin_of_the_run(run, tmp_path, capsys):
    plugin = toys.plugin_file(tmp_path, toys.FIXED)
    assert export(run, "--format", "json", "--plugin", plugin) == 0
    assert len(json.loads(capsys.readouterr().out)) == 28


def test_json_is_strict_and_complete(run, tmp_path):
    assert export(run, "-o", tmp_path / "rows.json") == 0

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    rows = json.loads((tmp_path / "rows.json").read_text(), parse_constant=refuse)
    expected = read_table(run)
    assert [row["cell"] for row in rows] == list(expected["cell"])
    assert set(rows[0]) == set(expected.columns)
    texts = {(row["metric"], row["status"], row["value"]) for row in rows if row["image"] == "three"}
    assert {("psnr_y", "ok", "inf"), ("piqe_lr", "undefined", None)} <= texts
    values = [math.nan if row["value"] is None else float(row["value"]) for row in rows]
    pd.testing.assert_series_equal(pd.Series(values), expected["value"], check_names=False, check_exact=True)


def test_equal_runs_give_equal_files(run, tmp_path):
    for name in ("a.csv", "a.csv.gz", "a.json", "a.tex"):
        contents = []
        for folder in ("x", "y"):
            assert export(run, "-o", tmp_path / folder / name) == 0
            contents.append((tmp_path / folder / name).read_bytes())
        assert contents[0] == contents[1]


def test_the_format_counts_more_than_the_ending_and_stdout_is_taken_without_a_file(run, tmp_path, capsys):
    assert export(run, "--format", "csv", "-o", tmp_path / "rows.data") == 0
    assert export(run, "--format", "csv") == 0
    text = capsys.readouterr().out
    assert (tmp_path / "rows.data").read_text() == text
    assert len(pd.read_csv(io.StringIO(text))) == 28
    assert export(run, "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 28
    assert export(run, "--format", "latex") == 0
    assert r"\toprule" in capsys.readouterr().out


def test_metrics_choose_rows_and_misspelt_ones_are_refused(run, tmp_path, capsys):
    assert export(run, "-o", tmp_path / "rows.csv", "--metrics", "psnr_y") == 0
    assert set(read_table(tmp_path / "rows.csv")["metric"]) == {"psnr_y"}
    assert export(run, "-o", tmp_path / "rows.csv", "--metrics", "psnr-y") == 2
    assert "did you mean psnr_y" in capsys.readouterr().err


def test_latex_holds_whole_booktabs_tables_with_every_name_escaped(run, tmp_path):
    assert export(run, "-o", tmp_path / "board.tex") == 0
    text = (tmp_path / "board.tex").read_text()
    assert text.startswith("% Needs \\usepackage{booktabs}.\n")
    body = text.partition("\n")[2]
    assert (
        r"50\%\_of \#1 \& \{two\} \$x\textasciicircum{}2\$ \textasciitilde{}a\textbackslash{}b$|$c" in body
    )  # TeX's ten special characters, and | of its old fonts
    for name in ("table", "tabular", "minipage"):
        assert body.count(rf"\begin{{{name}}}") == body.count(rf"\end{{{name}}}") >= 1
    literal = re.sub(r"\\[{}$&#%_\\]", "", body)
    assert literal.count("{") == literal.count("}")
    assert literal.count("$") % 2 == 0
    assert "%" not in literal
    assert "#" not in literal
    # A subscript or superscript outside mathematics is an error.
    assert not set("_^") & set(re.sub(r"\$[^$]*\$", "", literal))
    commands = set(re.findall(r"\\[a-zA-Z]+", body))
    assert {r"\toprule", r"\midrule", r"\bottomrule"} <= commands
    for tabular in re.findall(r"\\begin\{tabular\}\{([rl]+)\}(.*?)\\end\{tabular\}", body, re.S):
        columns, rows = tabular[0], re.findall(r"^(.*) \\\\$", tabular[1], re.M)
        assert len(rows) >= 4
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "x.doc"], ["--output: x.doc ends in none of .parquet .csv .csv.gz .json .tex", "--format"]),
        (["--rows", "x.json"], ["--rows: x.json ends in none of .parquet .csv .csv.gz"]),
        (["--format", "parquet"], ["--format parquet", "needs -o FILE"]),
        (["--format", "tensorboard"], ["--format tensorboard", "need -o FOLDER"]),
        ([], ["say what to write"]),
        (["-o", "/proc/nothing/x.csv"], ["--output: cannot write /proc/nothing/x.csv"]),
        (["-o", "/proc/nothing/x.tex"], ["--output: cannot write /proc/nothing/x.tex"]),
    ],
)
def test_what_cannot_be_written(run, capsys, arguments, says):
    assert export(run, *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    for text in says:
        assert text in lines[0]


def test_tensorboard_logs_come_back_as_the_leaderboard(run, tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    from rescale_bench.tables import leaderboard

    assert export(run, "--format", "tensorboard", "-o", tmp_path / "logs") == 0
    assert "tensorboard --logdir" in capsys.readouterr().err
    found = {}
    for folder in (tmp_path / "logs").iterdir():
        log = EventAccumulator(str(folder)).Reload()
        start = log.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        said = plugin_data_pb2.HParamsPluginData.FromString(start).session_start_info.hparams
        where = said["method"].string_value, said["data set"].string_value, said["scale"].number_value
        for tag in log.Tags()["scalars"]:
            found[(*where, tag)] = log.Scalars(tag)[0].value
    expected = {
        (score.label, score.group.dataset, float(score.group.scale), score.metric): score.mean
        for score in leaderboard(read_table(run)).scores
        if score.mean is not None and math.isfinite(score.mean)
    }
    assert (HOSTILE, "photos", 2.0, "psnr_y") in expected
    assert found == pytest.approx(expected, rel=1e-6)
    assert export(run, "--format", "tensorboard", "-o", tmp_path / "logs") == 2
    assert "holds something already" in capsys.readouterr().err


def test_tensorboard_that_is_not_installed_is_named(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert export(run, "--format", "tensorboard", "-o", tmp_path / "logs") != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install 'rescale-bench[trackers]'" in line
