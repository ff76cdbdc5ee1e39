"""The pages print what the commands print, and name everything that there is."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
CONSOLE = [page for page in PAGES if "```console\n" in page.read_text()]


def _load(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


refresh = _load("refresh")


@pytest.mark.parametrize("page", CONSOLE, ids=lambda page: page.name)
def test_the_commands_of_a_page_print_what_it_says(page):
    ran = 0
    for step, actual, wrong in list(refresh.run_page(page.read_text())):
        assert not wrong
        assert refresh.agrees(step.expected, actual), (
            f"{page.name}: $ {step.command}\n"
            + "\n".join(actual)
            + f"\n\nif right: python docs/refresh.py docs/{page.name}"
        )
        ran += 1
    assert ran


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        (("a 1.50",), ("a 1.50",), True),
        (("a 1.50",), ("a 1.51",), False),
        (("a",), ("a", "b"), False),
        (("a", "..."), ("a", "b", "c"), True),
        (("...", "c"), ("a", "b", "c"), True),
        (("a", "..."), ("b", "c"), False),
        (("a ... z",), ("a b z",), True),
        (("a ... z",), ("a b", "z"), False),
        (("done in 3 s",), ("done in 14.2 s",), True),
        (("psnr 3.0 dB",), ("psnr 4.0 dB",), False),
        (("report.html: 0.1 MB",), ("report.html: 2.3 MB",), True),
        (("on 2026-01-02 03:04",), ("on 2025-11-12 13:14",), True),
        (("torch 2.13.0+cpu",), ("torch 2.4.1",), True),
        (("$HOME (1)",), ("$HOME (1)",), True),
    ],
)
def test_outputs_agree_but_for_ellipses_and_unstable_fields(expected, actual, same):
    assert refresh.agrees(expected, actual) is same


def test_a_renewed_output_keeps_its_ellipsis():
    assert refresh.renewed(("a", "...", "z"), ("b", "1", "2", "y")) == ("b", "...", "y")
    assert refresh.renewed(("a", "...", "z"), ("a", "1", "z")) == ("a", "...", "z")
    assert refresh.renewed((), ("a",)) == ("a",)


def test_a_page_is_rewritten_with_what_its_commands_print(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n\n```console\n$ rescale-bench --version\nold\n$ false\n$ echo $?\n```\n\nmore\n")
    assert refresh.refresh(page)
    text = page.read_text()
    assert re.fullmatch(
        r"text\n\n```console\n\$ rescale-bench --version\nrescale-bench \S+, torch \S+, device .*\n"
        r"\$ false\n\$ echo \$\?\n1\n```\n\nmore\n",
        text,
    )
    assert not refresh.refresh(page)


def test_a_command_that_fails_must_say_so():
    ((_, _, wrong),) = refresh.run_page("```console\n$ rescale-bench table -i nowhere\n```\n")
    assert "exits with 2" in wrong


def test_every_verb_is_run_on_the_page_of_commands():
    from rescale_bench.cli.main import build_parser

    (verbs,) = (action for action in build_parser()._actions if action.dest == "verb")
    text = (DOCS / "commands.md").read_text()
    run = {step.command.split()[1] for block in refresh.BLOCK.findall(text) for step in refresh.steps(block)
           if step.command.startswith("rescale-bench ")}  # fmt: skip
    assert run >= set(verbs.choices)
    assert set(re.findall(r"^## (\S+)$", text, re.M)) >= set(verbs.choices)


@pytest.mark.parametrize("kind", ["methods", "metrics", "protocols"])
def test_everything_registered_is_on_its_page(kind):
    from rescale_bench.api.registry import load_registry

    registry = load_registry()
    text = (DOCS / f"{kind}.md").read_text()
    names = set(getattr(registry, kind)) | ({rule.form for rule in registry.rules} if kind == "methods" else set())
    if kind == "metrics":  # those of each codec stand there once, as bpp_CODEC
        names = {re.sub(rf"^(bpp_(?:lr_)?)({'|'.join(registry.codecs)})$", r"\1CODEC", name) for name in names}
    assert len(names) >= 5
    assert {name for name in names if not re.search(rf"`{re.escape(name)}[`:]", text)} == set()


def test_every_switch_has_its_picture():
    from rescale_bench.api.records import Protocol

    text = (DOCS / "protocols.md").read_text()
    fields = set(Protocol.__dataclass_fields__) - {"name", "summary", "source", "version", "data_range"}
    assert {name for name in fields if f"(images/{name}.png)" not in text} == set()


def test_every_metric_has_its_version_on_the_page():
    from rescale_bench.api.registry import load_registry

    rows = (DOCS / "metrics.md").read_text().splitlines()
    for metric in load_registry().metrics.values():
        pattern = r"bpp_CODEC" if re.fullmatch(r"bpp_(lr_)?(?!lr$)\w+", metric.name) else metric.name
        (row,) = (row for row in rows if row.startswith("| [") and re.search(rf"`(.*, )?{re.escape(pattern)}`", row))
        assert metric.version in row, metric.name


def test_every_picture_is_shown_drawn_and_small():
    shown = {name for page in PAGES for name in re.findall(r"\(images/(.+?)\.png\)", page.read_text())}
    committed = {path.stem for path in (DOCS / "images").glob("*.png")}
    assert shown == committed
    results = DOCS.parent / "results"
    scripts = (DOCS / "pictures.py", DOCS / "diagrams.py", results / "equal_budget.py", results / "overview.py")
    source = "".join(script.read_text() for script in scripts)
    assert {name for name in committed if f'"{name.removeprefix("method-")}"' not in source} == set()
    assert max(path.stat().st_size for path in (DOCS / "images").glob("*.png")) < 100_000


def test_the_published_numbers_of_the_gallery_are_transcribed_ones():
    import csv

    with (DOCS.parent / "results/published/tables.csv").open() as stream:
        known = {row["value"] for row in csv.DictReader(stream) if row["dataset"] == "Set5"}
    text = (DOCS / "methods.md").read_text()
    printed = re.findall(r"^\| .* \| ([\d.–]+) \| ([\d.–]+) \| ([\d.–]+) \| ", text, re.M)
    assert len(printed) == 8
    assert {value for row in printed for value in row if value != "–"} <= known


MEASURED = {
    "bicubic": ("bicubic", "bicubic", "bicubic"),
    "bicubic + EDSR-baseline": ("bicubic+edsr-baseline",) * 3,
    "CAR & EDSR-baseline": ("car-edsr", "", "car-edsr"),
    "IRN (×3: IRN_LD)": ("irn", "irn-ld", "irn"),
    "FGRN": ("fgrn", "", "fgrn"),
    "AIDN": ("aidn",) * 3,
}
"""Rows of the gallery's table of measured numbers, and the methods of results/equal-budget.md behind them."""


def test_the_gallery_shows_the_numbers_of_the_equal_budget():
    source = (DOCS.parent / "results" / "equal-budget.md").read_text(encoding="utf-8")
    set5 = source.split("### Set5", 1)[1].split("###", 1)[0]
    found = re.findall(r"^\| +×(\d) \| (\S+)[^|]*\| +5 \|[ *]*(?:<u>)?([\d.]+)", set5, re.M)
    scores = {(scale, method): score for scale, method, score in found}
    page = (DOCS / "methods.md").read_text(encoding="utf-8")
    text = page.split("| system, weights that ship |", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert [row[0] for row in rows] == list(MEASURED)
    for name, *shown in rows:
        for scale, method, number in zip("234", MEASURED[name], shown, strict=True):
            # The page has three digits; 36.655 there may be 36.6548, so 36.65 here.
            assert float(number) == pytest.approx(float(scores[scale, method]), abs=0.0051) if method else number == "–"
