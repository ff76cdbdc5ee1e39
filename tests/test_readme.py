"""The README: its plugin works as printed, its tables and commands are true."""

import re
from pathlib import Path

from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import parse_scales
from rescale_bench.cli import main
from rescale_bench.roundtrip.conformance import SIZES, verify
from rescale_bench.weights.choice import sources

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_plugin_of_the_readme_conforms(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    path = tmp_path / "my_method.py"
    path.write_text(code)
    findings = list(verify("mine", load_registry([str(path)]), SIZES[:1], parse_scales("1.5,2")))
    assert [finding for finding in findings if finding.status == "failed"] == []


def test_the_leaderboard_of_the_readme_is_that_of_the_stored_rows(capsys):
    shown = re.search(r"<!-- leaderboard -->\n(.*?)<!-- /leaderboard -->", README, re.S)[1].strip()
    rows = str(ROOT / "results" / "reference" / "photos.csv.gz")
    assert main(["table", rows, "--metrics", "psnr_y,ssim_y", "--format", "markdown"]) == 0
    assert capsys.readouterr().out.strip() == shown


def test_the_table_of_methods_names_all_and_says_which_weights_there_are():
    registry, named = load_registry(), []
    rows = README.split("| name | what | scales | weights |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    for row in rows:
        names, *_, weights = (cell.strip() for cell in row.strip("|").split("|"))
        methods = [registry.methods[name] for name in re.findall(r"`([\w-]+)`", names) if name in registry.methods]
        found = "; ".join(sources(method) for method in methods)
        assert ("ships" in weights) == ("ships" in found), names
        assert ("published" in weights.replace("none were published", "")) == ("published" in found), names
        named += [method.name for method in methods]
    # A file of the user's has a page of its own.
    assert sorted([*named, "graph"]) == sorted(registry.methods)


def test_every_command_of_the_readme_exists():
    from rescale_bench.cli.main import build_parser

    parser = build_parser()
    printed = [line for line in README.splitlines() if line.startswith("    ")]
    commands = re.findall(r"rescale-bench ([a-z]+[^#;\n]*)", "\n".join(printed))
    assert len(commands) > 10
    for command in commands:
        arguments = command.split()
        assert parser.parse_args(arguments).verb == arguments[0]
