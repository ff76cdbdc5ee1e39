"""The README's own plugin works as printed."""

import re
from pathlib import Path

from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import parse_scales
from rescale_bench.cli import main
from rescale_bench.roundtrip.conformance import SIZES, verify

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


def test_every_command_of_the_readme_exists():
    from rescale_bench.cli.main import build_parser

    parser = build_parser()
    printed = [line for line in README.splitlines() if line.startswith("    ")]
    commands = re.findall(r"rescale-bench ([a-z]+[^#;\n]*)", "\n".join(printed))
    assert len(commands) > 10
    for command in commands:
        arguments = command.split()
        assert parser.parse_args(arguments).verb == arguments[0]
