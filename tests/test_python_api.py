"""`rescale_bench.run`, `score` and `open_run`: the engine of the command line, and runs that show themselves."""

import dataclasses
import json
import signal
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rescale_bench as rb
from rescale_bench.cli import main
from rescale_bench.images.files import write_png
from rescale_bench.runner.progress import tracked

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


class Nearest:
    """Every second pixel, and each of them twice."""

    name, parameter_count = "mine", 0

    def downscale(self, hr, scale):
        return hr[..., :: int(scale), :: int(scale)]

    def upscale(self, lr, scale, size):
        twice = lr.repeat_interleave(int(scale), -1).repeat_interleave(int(scale), -2)
        return twice[..., : size[0], : size[1]]


@pytest.fixture
def hr(tmp_path):
    generator = np.random.default_rng(5)
    (tmp_path / "hr").mkdir()
    for name in "ab":
        ramp = np.linspace(0, 180, 48 * 40 * 3).reshape(40, 48, 3)
        write_png(tmp_path / "hr" / f"{name}.png", (ramp + generator.integers(0, 60, ramp.shape)).astype(np.uint8))
    return tmp_path / "hr"


def run(hr, **settings):
    settings = {"methods": ["bicubic"], "scales": "2", "metrics": "psnr_y,ssim_y", "quiet": True, **settings}
    return rb.run(datasets=hr, output=hr.parent / "run", **settings)


def test_rows_are_those_of_the_command_line(tmp_path, hr, capsys):
    arguments = ["-m", "bicubic,lanczos3", "-d", str(hr), "-s", "2,4", "--metrics", "psnr_y,ssim_y"]
    assert main(["run", *arguments, "-o", str(tmp_path / "cli"), "-q"]) == 0
    found = run(hr, methods=["bicubic", "lanczos3"], scales=[2, 4])
    told = ["cell", "method", "image", "scale", "metric", "value", "status"]
    pd.testing.assert_frame_equal(found.rows[told], rb.open_run(tmp_path / "cli").rows[told], check_exact=True)
    assert capsys.readouterr().out.strip() == str(found.leaderboard()).strip()


def test_a_call_sees_its_own_cells_and_the_folder_all(hr):
    run(hr)
    assert set(run(hr, methods="lanczos3").rows["method"]) == {"lanczos3"}
    assert set(rb.open_run(hr.parent / "run").rows["method"]) == {"bicubic", "lanczos3"}


def test_a_run_shows_itself(tmp_path, hr):
    found = run(hr, methods=["bicubic", "lanczos3"], scales="2,4")
    board = found.leaderboard(metrics="psnr_y")
    assert repr(board) == str(board)
    assert "<table" in board._repr_html_()
    assert "lanczos3" in board._repr_html_()
    plot = found.plot("scale")
    assert "<svg" in plot._repr_svg_()
    plot.save(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    page = found.report(tmp_path / "pages" / "report.html").read_text()
    assert "lanczos3" in page
    assert found.failures.empty


def test_objects_are_methods_and_marked_unless_they_have_a_version(hr):
    bare = run(hr, methods=["nearest", Nearest()])
    assert "mine [unversioned: not publishable]" in str(bare.leaderboard())
    assert "unversioned: a method of a Python session without a version" in str(bare.leaderboard())
    # Code without a version is measured anew: the stored cells may be of other code.
    assert not set(run(hr, methods=[Nearest()]).rows["cell"]) & set(bare.rows["cell"])
    versioned = type("Versioned", (Nearest,), {"version": "1.0", "name": "theirs"})
    first = run(hr, methods=[versioned])
    assert "not publishable" not in str(first.leaderboard())
    assert list(run(hr, methods=[versioned()]).rows["seconds"]) == list(first.rows["seconds"])


def test_a_method_record_is_a_method(hr):
    record = dataclasses.replace(rb.load_registry().methods["bicubic"], name="record", version="3")
    found = run(hr, methods=["bicubic", record])
    values = found.rows.pivot_table(index=["image", "metric"], columns="method", values="value")
    assert values["record"].equals(values["bicubic"].rename("record"))
    assert "not publishable" not in str(found.leaderboard())


def test_each_half_has_an_instance_of_its_own(hr):
    class Leaky(Nearest):
        """Hands the HR over behind the file's back."""

        name, kept = "leaky", None

        def downscale(self, hr, scale):
            self.kept = hr
            return super().downscale(hr, scale)

        def upscale(self, lr, scale, size):
            return super().upscale(lr, scale, size) if self.kept is None else self.kept

    rows = run(hr, methods=[Nearest(), Leaky()]).rows
    values = rows.pivot_table(index=["image", "metric"], columns="method", values="value")
    assert values["leaky"].equals(values["mine"].rename("leaky"))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"methods": ["bicubik"]}, "unknown method 'bicubik': did you mean bicubic"),
        ({"methods": [3]}, "3 is no method: give a name, a Method, or an object"),
        ({"methods": [type("Bicubic", (Nearest,), {"name": "bicubic"})]}, "'bicubic' is registered already"),
        ({"methods": [Nearest()], "jobs": 2}, "mine is an object of this process"),
        ({"scales": "0"}, "0"),
    ],
)
def test_errors_are_exceptions(hr, settings, text):
    with pytest.raises(rb.UsageError, match=text):
        run(hr, **settings)
    assert not (hr.parent / "run").exists()


def test_there_is_no_run(tmp_path):
    with pytest.raises(rb.StoreError, match="there is no run"):
        rb.open_run(tmp_path / "nowhere")


def test_failed_cells_are_rows_and_a_warning(hr):
    class Broken(Nearest):
        def upscale(self, lr, scale, size):
            raise ValueError("no luck")

    with pytest.warns(UserWarning, match="2 cells failed, for example: .*no luck"):
        found = run(hr, methods=[Broken()])
    assert set(found.failures["image"]) == {"a", "b"}


def test_an_interrupt_keeps_what_is_measured(hr):
    class Interrupted(Nearest):
        version, calls = "1.0", []

        def upscale(self, lr, scale, size):
            self.calls.append(1)
            if len(self.calls) == 2:
                signal.raise_signal(signal.SIGINT)
            return super().upscale(lr, scale, size)

    with pytest.warns(UserWarning, match="interrupted: 1 cells kept; the same command goes on"):
        found = run(hr, methods=[Interrupted()])
    assert found.interrupted
    assert found.rows["image"].nunique() == 1
    assert run(hr, methods=[Interrupted()]).rows["image"].nunique() == 2


def test_scores_images_made_elsewhere(hr):
    found = rb.score("copies", hr, hr, 2, metrics="psnr_y", output=hr.parent / "run", quiet=True)
    assert set(found.rows["origin"]) == {"files"}
    assert list(found.rows["value"]) == [np.inf, np.inf]


def test_progress_in_a_notebook_is_a_bar_that_goes_away(monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=shown.append)
    display = types.SimpleNamespace(HTML=str, display=lambda html, display_id: shown.append(html) or handle)
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell, display=display))
    monkeypatch.setattr("rescale_bench.runner.progress.NOTEBOOK_INTERVAL", 0)
    assert list(tracked(iter([{"cell": "x"}, {"cell": "y"}]), 2)) == [{"cell": "x"}, {"cell": "y"}]
    assert '<progress value="0" max="2">' in shown[0]
    assert "2 of 2 cells" in shown[2]
    assert shown[-1] == ""


def test_the_notebook_runs(tmp_path, monkeypatch):
    """Run its cells one after another in one namespace, and show what each ends with, as a notebook does."""
    import ast

    monkeypatch.chdir(tmp_path)
    names, shown = {}, []
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]))
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, str(NOTEBOOK), "exec"), names)
            if last:
                shown.append(eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names))
    rows, board, plot, mine, theirs, report = shown
    assert len(rows) == 5
    assert ("lanczos3" in str(board), "<svg" in plot._repr_svg_()) == (True, True)
    assert "blocks [unversioned: not publishable]" in str(mine)
    assert "pillow {files}" in str(theirs)
    assert report.read_text().count("blocks [unversioned: not publishable]")
