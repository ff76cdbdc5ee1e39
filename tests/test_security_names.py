"""Names of files and folders reach every output as text: nothing in them is a tag, a macro, a cell or a command."""

import csv
import html.parser
import io
import json
import os
import pty
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import toys
from markdown_it import MarkdownIt

from rescale_bench.cli import main

FOLDER = "<script>alert(1)<b>|`a`\\input{x}$\\frac$ %&#_^~[red]\x1b[31m\n::error::x\u202e![i](http:x)"
GOOD = "\x1b]0;title\x07<img src=x onerror=alert(2)>|\\write18{ls}"
BROKEN = "\u202e<script>|\\input{y}\n::warning::$[bold]\x9b31m\r"
SHOWN = (
    "<script>alert(1)<b>|`a`\\\\input{x}$\\\\frac$ %&#_^~[red]\\x1b[31m\\n::error::x\\u202e![i](http:x)"  # of FOLDER
)
SECTION = f"{SHOWN} · protocol rgb8 version 1 · codec png"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run over a folder and files with hostile names, one of them no image."""
    place = tmp_path_factory.mktemp("names")
    data = toys.picture_folder(place / FOLDER, count=1)
    next(iter(data.iterdir())).rename(data / f"{GOOD}.png")
    (data / f"{BROKEN}.png").write_bytes(b"not a picture")
    return data, place / "run"


def harmless(text):
    """Check a text for the terminal: no control and no bidirectional character, no command to GitHub."""
    assert [line for line in text.split("\n") if not line.isprintable()] == []
    return text


def command(data, run, *more):
    flags = ["-m", "bicubic,nearest", "-s", "2", "--metrics", "psnr_y,bpp_png", "--threads", "1", "--keep"]
    return ["run", *flags, "-d", str(data), "-o", str(run), *more]


@pytest.fixture(scope="module")
def run(hostile):
    """Measure in a process of its own, whose stderr is a terminal: there the progress bar writes names."""
    data, folder = hostile
    main_end, other_end = pty.openpty()
    program = [sys.executable, "-m", "rescale_bench", *command(data, folder)]
    done = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=other_end, text=True)
    os.close(other_end)
    chunks = []
    while True:
        try:
            chunk = os.read(main_end, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(main_end)
    shown = b"".join(chunks).decode()
    output = done.communicate()[0]
    assert done.returncode == 1, shown
    assert "Traceback" not in shown
    harmless(output)
    assert SECTION in output
    # What the bar itself sends is colour and movement of the cursor.
    assert set(re.findall(r"\x1b(.)", shown)) <= {"["}
    assert not set("\x9b\x07\u202e") & set(shown)
    assert "2 cells failed" in shown
    assert "\\u202e<script>|\\\\input{y}\\n::warning::$[bold]\\x9b31m\\r" in shown
    return folder


def table(run, capfd, form):
    capfd.readouterr()
    assert main(["table", "-i", str(run), "--format", form]) == 0
    return capfd.readouterr().out


def test_verbose_remarks(run, hostile, capfd):
    assert main(command(hostile[0], run, "-v")) == 1
    captured = capfd.readouterr()
    assert "not a PNG" in harmless(captured.err)
    harmless(captured.out)


def test_plain_table(run, capfd):
    assert SECTION in harmless(table(run, capfd, "plain"))


class Reader(html.parser.HTMLParser):
    """Collects tags, attributes and text as a browser would see them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.attributes = set(), [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


def test_html(run, capfd):
    read = Reader(harmless(table(run, capfd, "html")))
    assert read.tags <= {"section", "h3", "table", "thead", "tbody", "tr", "th", "td", "strong", "u", "sup", "ul", "li"}
    assert SECTION in read.texts


def test_markdown_as_an_outside_reader_renders_it(run, capfd, tmp_path):
    page = tmp_path / "board.md"
    assert main(["export", "-i", str(run), "--leaderboard", str(page)]) == 0
    for text in (table(run, capfd, "markdown"), page.read_text()):
        tokens = MarkdownIt("commonmark").enable("table").parse(harmless(text))
        inner = [child for token in tokens for child in token.children or ()]
        assert not {token.type for token in (*tokens, *inner)} & {"html_block", "image", "link_open", "fence"}
        assert {child.content for child in inner if child.type == "html_inline"} <= {"<u>", "</u>"}
        headings = [tokens[at + 1].children for at, token in enumerate(tokens) if token.type == "heading_open"]
        assert SECTION in ["".join(child.content for child in children) for children in headings]


OWN_MACROS = {
    *("begin", "end", "centering", "caption", "toprule", "midrule", "bottomrule", "textbf", "underline", "par"),
    *("smallskip", "linewidth", "footnotesize", "textbackslash", "textasciitilde", "textasciicircum", "uparrow"),
    *("downarrow", "Delta", "pm", "times", "infty", "cdot", "dagger", "ddagger", "Sigma", "usepackage"),
    *("\\", "{", "}", "&", "%", "$", "#", "_"),
}


def test_latex(run, capfd, tmp_path):
    page = tmp_path / "board.tex"
    assert main(["export", "-i", str(run), "-o", str(page)]) == 0
    for text in (table(run, capfd, "latex"), page.read_text()):
        assert set(re.findall(r"\\([A-Za-z]+|.)", harmless(text))) <= OWN_MACROS
        body = text.removeprefix("% Needs \\usepackage{booktabs}.\n")
        assert not re.search(r"(?<!\\)[%#~^_](?!\{)", re.sub(r"\\.", "", body))
        assert r"\textbackslash{}\textbackslash{}input\{x\}\$\textbackslash{}\textbackslash{}frac\$" in text


def test_rows_for_machines(run, capfd, tmp_path):
    assert SHOWN in {row["dataset"] for row in csv.DictReader(io.StringIO(table(run, capfd, "csv")))}
    assert SHOWN in harmless(table(run, capfd, "json")).replace("\\\\", "\\")
    for ending in (".csv", ".json", ".parquet"):
        assert main(["export", "-i", str(run), "-o", str(tmp_path / f"rows{ending}")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["dataset"] for row in rows} == {SHOWN}
    assert all(row["image"].isprintable() for row in rows)
    harmless((tmp_path / "rows.csv").read_text())


def test_the_gate(run, tmp_path, capfd, monkeypatch):
    """Each name stands in annotations, JUnit and text: the baseline is raised by a decibel."""
    assert main(["export", "-i", str(run), "-o", str(tmp_path / "rows.csv")]) == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text())))
    for row in rows:
        row["value"] = str(float(row["value"]) + 1) if row["value"] else ""
    with (tmp_path / "better.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    capfd.readouterr()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    junit = tmp_path / "junit.xml"
    assert main(["check", "-i", str(run), "--baseline", str(tmp_path / "better.csv"), "--junit", str(junit)]) == 3
    lines = harmless(capfd.readouterr().out).splitlines()
    orders = [line for line in lines if line.lstrip().startswith("::")]
    assert orders
    assert all(line.startswith("::error title=") for line in orders)
    assert not any("::warning" in line.partition("::")[0] for line in lines)
    names = [case.get("name") for case in ElementTree.parse(junit).iter("testcase")]
    assert any(SHOWN in name for name in names)


def test_report(run, tmp_path):
    page = tmp_path / "page.html"
    assert main(["report", "-i", str(run), "-q", "--no-direct", "-o", str(page)]) == 0
    text = page.read_text()
    read = Reader(text)
    assert not {name for name in read.attributes if name.startswith("on")}
    assert len(re.findall(r"<script\b(?! type=\"application/json\")", text)) == 1  # our own, allowed by its hash
    assert any(SHOWN in part for part in read.texts)
    assert not set("\x1b\x9b\x07\u202e") & set(text)


@pytest.mark.parametrize("kind", ["strip", "scale"])
def test_plots(run, tmp_path, kind):
    path = tmp_path / "plot.svg"
    assert main(["plot", "--kind", kind, "--metric", "psnr_y", "-i", str(run), "-o", str(path)]) == 0
    root = ElementTree.parse(path).getroot()
    assert "".join(root.itertext()).count(SHOWN) >= 1
    assert not [element.tag for element in root.iter() if element.tag.endswith(("script", "image", "foreignObject"))]
