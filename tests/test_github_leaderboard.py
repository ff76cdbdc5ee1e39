"""The action that builds the leaderboard: its own scripts, run by bash as GitHub runs them, on real submissions."""

import subprocess

import pytest
import yaml
from test_github_action import LEADERBOARD, ROOT, rendered, step

from rescale_bench.cli import main
from rescale_bench.runs.folder import Run, read_table
from rescale_bench.runs.submission import write_submission


def git(place, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *who, *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository whose last commit adds three submissions: an honest one, a better one, one of a plugin."""
    place = tmp_path_factory.mktemp("repository")
    git(place, "init", "-q")
    (place / "README.md").write_text("nothing")
    git(place, "add", "-A")
    git(place, "commit", "-qm", "before")
    run = place / "measured"
    flags = ["-m", "nearest,bicubic", "-s", "2", "-d", "photos", "--limit", "1", "--metrics", "psnr_y,ssim_y"]
    assert main(["run", *flags, "-o", str(run), "-q"]) == 0
    subs = place / "submissions"
    assert main(["submit", str(run), "-o", str(subs / "honest.zip")]) == 0
    rows = read_table(subs / "honest.zip")
    card = Run(subs / "honest.zip").card
    better = rows.assign(value=rows["value"] + 0.5)
    write_submission(subs / "two words.zip", better, {}, card, {})
    write_submission(subs / "plugin.zip", rows[rows["method"] == "bicubic"].assign(method="theirs"), {}, card, {})
    (subs / "README.md").write_text("how to submit")
    return place


def commit(repository, *names):
    """Commit these submissions alone; returns the commit before."""
    base = git(repository, "rev-parse", "HEAD")
    git(repository, "add", "submissions/README.md", *(f"submissions/{name}" for name in names))
    git(repository, "commit", "-qm", "submit")
    return base


def test_submissions_are_measured_anew_and_shown(repository):
    base = commit(repository, "honest.zip", "plugin.zip")
    code, _, summary, log = step("Measure anew", repository, {"base": base, "cells": "2"}, action=LEADERBOARD)
    assert code == 0, log
    headings, _, blocks = rendered(summary)
    assert headings == [
        "Submission 1: measured anew, and equal",
        "Submission 2: nothing of it can be measured here",
    ]
    assert "4 values compared, 0 regressed, 0 better" in blocks[0]
    assert "not measured: theirs: unknown method 'theirs'" in blocks[1]


def test_numbers_that_do_not_come_out_fail_the_step(repository):
    base = commit(repository, "two words.zip")
    code, _, summary, log = step("Measure anew", repository, {"base": base, "cells": "1"}, action=LEADERBOARD)
    assert code == 3, log
    assert rendered(summary)[0] == ["Submission 1: measured anew, and different"]


def test_the_site_is_built_and_what_is_left_out_is_told(repository):
    first = str(ROOT / "results/reference/photos.csv.gz")
    code, _, summary, log = step("Build the site", repository, {"first": first}, action=LEADERBOARD)
    assert code == 0, log
    assert (repository / "site" / "method-theirs.html").is_file()
    (block,) = rendered(summary)[2]
    assert "left out: two words: bicubic: contradicts what was there before" in block


def test_our_workflow_uses_the_action_and_publishes_from_main_alone():
    workflow = yaml.safe_load((ROOT / ".github/workflows/leaderboard.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    (used,) = [one for one in workflow["jobs"]["site"]["steps"] if one.get("uses") == "./.github/actions/leaderboard"]
    assert set(used["with"]) <= set(LEADERBOARD["inputs"])
    assert (ROOT / used["with"]["first"]).is_file()
    assert workflow["jobs"]["publish"]["if"] == "github.event_name != 'pull_request'"
    assert "permissions" not in workflow["jobs"]["site"]
