"""Tables as papers print them: hand-computed means in one cell, published rows beside them, a real TeX."""

import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
from test_cli_screen import terminal
from test_tables import row

from rescale_bench.api.registry import load_registry
from rescale_bench.checks import printed_numbers, read_published, shipped_tables
from rescale_bench.cli import main
from rescale_bench.errors import UnknownNameError
from rescale_bench.tables import render
from rescale_bench.tables.paper import PrintedNumber, paper_board

ABOUT = {"psnr_y": (2, "dB"), "ssim_y": (4, ""), "params": (0, "")}
SETS = {"Set5": 5, "Set14": 14}


def made(method, level, scale="2", sets=SETS, **changes):
    """Give rows whose mean PSNR is level on Set5 and level + 1 on Set14, and whose SSIM is a hundredth of it."""
    for place, (name, count) in enumerate(sets.items()):
        for image in range(count):
            spread = image - (count - 1) / 2
            values = {"psnr_y": level + place + spread, "ssim_y": (level + place) / 100, "params": 1_664_000}
            for metric, value in values.items():
                decimals, unit = ABOUT[metric]
                more = {"decimals": decimals, "unit": unit, "direction": "down" if metric == "params" else "up"}
                yield row(method, f"i{image}", value, metric, dataset=name, scale=scale, **more, **changes)


def frame(*parts):
    return pd.DataFrame([line for part in parts for line in part])


@pytest.fixture
def rows():
    return frame(made("bicubic", 30), made("irn", 40), made("bicubic", 25, "4"), made("irn", 33, "4"))


def lines(text):
    return [line.split() for line in text.splitlines()]


def number(method, text, dataset="Set5", scale="2", metric="psnr_y", source="IRN Table 1", **changes):
    more = {"same": method, "protocol": "rgb8", "parameters": "", "images": 5, "codecs": frozenset(["png"])} | changes
    return PrintedNumber(method, dataset=dataset, scale=scale, metric=metric, text=text, source=source, **more)


def test_data_sets_stand_side_by_side_and_two_means_in_a_cell(rows):
    text = render(paper_board(rows))
    assert "Set5, Set14 · protocol rgb8" in text
    assert ["scale", "method", "parameters", "Set5", "Set14"] in lines(text)
    assert ["×2", "irn", "1.66M", "*40.00", "/*0.4000", "*41.00", "/*0.4100"] in lines(text)
    assert ["bicubic", "1.66M", "_30.00", "/_0.3000", "_31.00", "/_0.3100"] in lines(text)
    assert ["×4", "irn", "1.66M", "*33.00", "/*0.3300", "*34.00", "/*0.3400"] in lines(text)
    assert "means over the images (Set5 5, Set14 14)" in text


def test_what_a_metric_says_is_best_alone(rows):
    rows.loc[(rows["method"] == "bicubic") & (rows["metric"] == "ssim_y"), "value"] = 0.9
    markdown = render(paper_board(rows), "markdown")
    assert "**40.00** / <u>0.4000</u>" in markdown
    assert "<u>30.00</u> / **0.9000**" in markdown
    assert "<strong>40.00</strong> / <u>0.4000</u>" in render(paper_board(rows), "html")
    assert r"\textbf{40.00} / \underline{0.4000}" in render(paper_board(rows), "latex")


def test_metrics_are_chosen_and_parameters_left_out_where_unknown(rows):
    rows = rows[rows["metric"] != "params"]
    text = render(paper_board(rows, ["ssim_y"]))
    assert ["×2", "irn", "*0.4000", "*0.4100"] in lines(text)
    assert "parameters" not in text
    with pytest.raises(UnknownNameError):
        paper_board(rows, ["psnr_rgb"])


def test_failed_and_missing_are_dashes_with_footnotes(rows):
    failed = (rows["method"] == "irn") & (rows["scale"] == "2") & (rows["dataset"] == "Set5") & (rows["image"] == "i0")
    rows.loc[failed, ["value", "status"]] = [float("nan"), "failed"]
    rows = rows[~((rows["method"] == "irn") & (rows["scale"] == "4") & (rows["dataset"] == "Set14"))]
    text = render(paper_board(rows))
    assert ["irn", "1.66M", "‡–", "*41.00", "/*0.4100"] in lines(text)
    assert ["×4", "irn", "1.66M", "*33.00", "/*0.3300", "–"] in lines(text)
    assert "Set5: irn: 1 failed of 5 images at ×2." in text
    assert "–: not measured, or not printed." in text


def test_published_rows_are_cited_and_never_ranked(rows):
    printed = [number("IRN", "43.99"), number("IRN", "0.9871", metric="ssim_y"), number("TAD", "38.46")]
    text = render(paper_board(rows, printed=printed))
    assert ["IRN", "[1]", "–", "43.99", "/", "0.9871", "–"] in lines(text)
    assert ["TAD", "[1]", "–", "38.46", "/", "–", "–"] in lines(text)
    assert ["×2", "irn", "1.66M", "*40.00", "/*0.4000", "*41.00", "/*0.4100"] in lines(text)
    assert "[1] IRN Table 1; protocol of its rows: rgb8." in text
    assert "not compare" not in text
    assert "Set5: 5 images here, 100 in the papers" in render(
        paper_board(rows, printed=[number("IRN", "1", images=100)])
    )
    measured = paper_board(rows).records
    assert [line["source"] for line in paper_board(rows, printed=printed).records[len(measured) :]] == [
        "IRN Table 1"
    ] * 3


def test_papers_are_joined_where_no_number_differs(rows):
    same = [number("IRN", "43.99"), number("IRN-x2", "43.99", source="AIDN Table 1", same="IRN", parameters="1.7M")]
    assert ["IRN", "[1,2]", "1.7M", "43.99", "/", "–", "–"] in lines(render(paper_board(rows, printed=same)))
    other = [number("IRN", "43.99"), number("IRN", "43.98", source="FGRN Table 1")]
    text = render(paper_board(rows, printed=other))
    assert ["IRN", "[1]", "–", "43.99", "/", "–", "–"] in lines(text)
    assert ["IRN", "[2]", "–", "43.98", "/", "–", "–"] in lines(text)


def test_another_codec_or_metric_gets_no_published_row(rows):
    for other in ({"codecs": frozenset(["jpeg:quality=30"])}, {"metric": "psnr_rgb"}, {"scale": "3"}):
        assert "[1]" not in render(paper_board(rows, printed=[number("IRN", "43.99", **other)]))


def test_the_tables_that_ship(rows):
    published, plugins = read_published(shipped_tables()), load_registry()
    found = printed_numbers(rows, published, plugins)
    assert {each.source for each in found if each.scale == "4"} >= {"IRN Table 1", "CAR Table 1", "AIDN Table 1"}
    assert "IRN Table 8" not in {each.source for each in found}
    assert {each.source for each in printed_numbers(rows, published, plugins, ["IRN Table 8"])} == {"IRN Table 8"}
    text = render(paper_board(rows, printed=found))
    cited = [line for line in lines(text) if line[:1] == ["IRN"]]
    assert [line[3:6] for line in cited] == [["43.99", "/", "0.9871"], ["36.19", "/", "0.9451"]]
    # Bicubic on DIV2K was published on RGB, whatever its column says.
    assert all(each.protocol and each.same for each in found)
    div2k = [each for each in found if (each.dataset, each.same, each.scale) == ("DIV2K-val", "bicubic", "2")]
    assert {each.metric for each in div2k} == {"psnr_rgb", "ssim_rgb"}
    with pytest.raises(UnknownNameError, match="published table 'IRN Table 99'"):
        printed_numbers(rows, published, plugins, ["IRN Table 99"])


def test_the_verb(rows, tmp_path, capsys):
    path = str(tmp_path / "rows.parquet")
    rows.to_parquet(path)
    assert main(["table", "-i", path, "--layout", "paper", "--with-published", "IRN", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"measured", "IRN Table 1"} <= {line["source"] for line in found}
    assert main(["table", "-i", path, "--with-published"]) == 2
    assert "--with-published: published rows stand in" in capsys.readouterr().err


def test_it_fits_a_terminal(rows, tmp_path):
    rows.to_parquet(tmp_path / "rows.parquet")
    code, found = terminal(["table", "-i", "rows.parquet", "--layout", "paper", "--with-published"], 80, tmp_path)
    assert code == 0
    assert max(map(len, found)) <= 80


@pytest.mark.slow
def test_latex_compiles(rows, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex with booktabs (Debian: texlive-latex-recommended)")
    odd = frame(made("[a]_b&c%d#e{f}~^$\\", 31), made("*x", 29, sets={"Set5": 5}))
    found = printed_numbers(rows, read_published(shipped_tables()), load_registry())
    body = render(paper_board(pd.concat([rows, odd]), printed=found), "latex")
    text = r"\documentclass{article}\usepackage{booktabs}\usepackage[margin=2cm]{geometry}\begin{document}"
    (tmp_path / "page.tex").write_text(f"{text}\n{body}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    log = (tmp_path / "page.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2_000:]
    assert "1 page" in re.sub(r"\s+", " ", log)
    assert "Overfull" not in log
