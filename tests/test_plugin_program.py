"""Programs as methods: a YAML file names them, they read and write files."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_list, parse_spec
from rescale_bench.cli.main import main
from rescale_bench.errors import UsageError

BICUBIC = """
import sys
import torch
from rescale_bench.images.files import read_image, write_png
from rescale_bench.images.levels import resize_levels, to_levels
source, target, scale, width, height = sys.argv[1:]
image = torch.from_numpy(read_image(source).pixels).permute(2, 0, 1)[None].float() / 255
factor = 1 / float(scale) if source.endswith("hr.png") else float(scale)
result = resize_levels(image, scale=factor, size=(int(height), int(width)))
write_png(target, to_levels(result[0].clamp(0, 1), "round").permute(1, 2, 0).contiguous().numpy())
"""
OURS = """
down: "{python} half.py {hr} {lr} {scale} {width} {height}"
up: "{python} half.py {lr} {sr} {scale} {width} {height}"
scales: [2, 2.5]
"""
DOWN = 'down: "{python} -c pass {hr} {lr}"\n'


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture
def ours(tmp_path):
    (tmp_path / "half.py").write_text(BICUBIC)
    (tmp_path / "ours.yaml").write_text(OURS)
    return tmp_path / "ours.yaml"


@pytest.fixture
def small(tmp_path):
    """Write a data set of one small image and return the arguments of a run on it."""
    import toys
    from PIL import Image

    (tmp_path / "set").mkdir()
    Image.fromarray(toys.picture(36, 41)).save(tmp_path / "set" / "one.png")
    return ["-d", str(tmp_path / "set"), "-s", "2", "-q", "-o", str(tmp_path / "run")]


def rows(tmp_path):
    return pd.read_parquet(tmp_path / "run" / "results.parquet")


def choose(registry, text):
    return registry.choose_method(parse_spec(text)).record


def test_a_program_that_copies_bicubic_gives_its_rows(ours, small, tmp_path):
    assert main(["run", "-m", f"bicubic,{ours},bicubic+{ours}", "--metrics", "psnr_y,ssim_y,psnr_lr,bpp", *small]) == 0
    table = rows(tmp_path).pivot_table(index="metric", columns="method", values="value")
    assert list(table.columns) == ["bicubic", "bicubic+ours", "ours"]
    assert len(table) >= 3
    assert table["ours"].equals(table["bicubic"])
    assert table["bicubic+ours"].equals(table["bicubic"])


def test_what_happens_outside_of_this_process_has_no_cost_in_it(ours, small, tmp_path):
    assert main(["run", "-m", str(ours), "--metrics", "psnr_y,params,macs_up,peak_mb_up", *small]) == 0
    status = rows(tmp_path).set_index("metric")["status"]
    assert status.to_dict() == {
        "psnr_y": "ok",
        "params": "undefined",
        "macs_up": "undefined",
        "peak_mb_up": "undefined",
    }


def test_an_edited_program_is_measured_again(ours, registry):
    first = choose(registry, str(ours)).version
    assert choose(registry, f"bicubic+{ours}").version.endswith(first)
    script = ours.parent / "half.py"
    script.write_text(BICUBIC + "# a comment\n")
    second = choose(registry, str(ours)).version
    ours.write_text(OURS + "time_limit: 5\n")
    third = choose(registry, str(ours)).version
    (ours.parent / "model.bin").write_bytes(b"1")
    ours.write_text(OURS + "files: [model.bin]\n")
    fourth = choose(registry, str(ours)).version
    (ours.parent / "model.bin").write_bytes(b"2")
    assert len({first, second, third, fourth, choose(registry, str(ours)).version}) == 5


def test_equal_files_elsewhere_are_the_same_program(ours, registry):
    other = shutil.copytree(ours.parent, ours.parent.parent / "other") / ours.name
    assert choose(registry, str(ours)).version == choose(registry, str(other)).version


def test_a_written_program_keeps_the_contract(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "mine", "--program"]) == 0
    assert "verify 'mine/mine.yaml'" in capsys.readouterr().err
    assert main(["verify", "mine/mine.yaml", "--quick", "-s", "2"]) == 0
    printed = capsys.readouterr().out
    assert "ok      same result in another process and order (the seal)" in printed


def test_what_a_program_leaves_beside_the_file_breaks_the_seal(tmp_path, capsys):
    (tmp_path / "resize.py").write_text(
        "import sys\nfrom PIL import Image\nimage = Image.open(sys.argv[1])\n"
        "image.resize((int(sys.argv[3]), int(sys.argv[4]))).save(sys.argv[2])\n"
    )
    (tmp_path / "cheat.yaml").write_text(
        'down: "{python} both.py {hr} {lr} {width} {height}"\n'
        'up: "{python} resize.py {folder}/kept.png {sr} {width} {height} {lr}"\nscales: [2]\n'
    )
    (tmp_path / "both.py").write_text(
        "import shutil, sys\nfrom pathlib import Path\nshutil.copy(sys.argv[1], Path(__file__).parent / 'kept.png')\n"
        + (tmp_path / "resize.py").read_text()
    )
    assert main(["verify", str(tmp_path / "cheat.yaml"), "--quick", "-s", "2"]) == 1
    assert "failed  same result in another process and order (the seal)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("{python} -c 'import sys; print(1); print(\"no model\"); sys.exit(3)'", "failed with exit code 3: no model"),
        ("{python} -c 'import os; os.kill(os.getpid(), 9)'", "was killed by signal 9: it printed nothing"),
        ("{python} -c pass", "ended without an error and wrote no sr.png"),
        ("cp", "returned 3×18×20 where 3×36×40 is due"),
        ("{python} -c 'import sys; open(sys.argv[2], chr(119)).write(chr(48))'", "wrote a file that cannot be used"),
        ("{python} -c 'import time; time.sleep(100)'", "was stopped after 0.5 s, the time_limit of bad.yaml"),
    ],
)
def test_a_program_that_goes_wrong_is_a_failed_row(tmp_path, small, command, says):
    # A block text of YAML, so that the commands' quotes stay as they are.
    limit = 0.5 if "sleep" in command else 300
    (tmp_path / "bad.yaml").write_text(f"up: >\n  {command} {{lr}} {{sr}}\nscales: [2]\ntime_limit: {limit}\n")
    assert main(["run", "-m", f"bicubic,bicubic+{tmp_path / 'bad.yaml'}", "--metrics", "psnr_y", *small]) == 1
    table = rows(tmp_path).set_index("method")
    assert table["status"].to_dict() == {"bicubic": "ok", "bicubic+bad": "failed"}
    error = table.loc["bicubic+bad", "error"]
    assert says in error
    assert "\n" not in error


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux tells whose children processes are")
def test_a_cell_that_is_stopped_takes_its_program_with_it(tmp_path, small):
    (tmp_path / "hang.py").write_text(
        "import os, sys, time\nopen(sys.argv[1], 'w').write(str(os.getpid()))\ntime.sleep(300)\n"
    )
    (tmp_path / "hang.yaml").write_text('up: "{python} hang.py {folder}/pid {lr} {sr}"\nscales: [2]\n')
    method = f"bicubic+{tmp_path / 'hang.yaml'}"
    assert main(["run", "-m", method, "--timeout", "15", "--metrics", "psnr_y", *small]) == 1
    assert rows(tmp_path)["status"].tolist() == ["failed"]
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/status")
    assert not status.exists() or "zombie" in status.read_text()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must hold 'key: value' lines"),
        ("up: [", "is not YAML"),
        ("scales: [2]", "needs 'scales' and at least one of 'down' and 'up'"),
        (DOWN, "needs 'scales' and at least one of 'down' and 'up'"),
        (DOWN + "scale: [2]", "did you mean scales"),
        (DOWN + "scales: [2]\nscales: [3]", "scales stands twice, in lines 2 and 3"),
        (DOWN + "scales: [2]\nenvironment: {A: 1, A: 2}", "A stands twice"),
        (DOWN + "scales: [two]", "scales: .*'two' is not a number"),
        (DOWN + "scales: [2]\ntime_limit: soon", "time_limit: 'soon' is not a number of seconds"),
        (DOWN + "scales: [2]\nenvironment: 3", "environment must hold"),
        (DOWN + "scales: [2]\nfiles: [gone.bin]", "there is no file .*gone.bin"),
        (DOWN + "scales: [2]\nname: a b", "'a b' is not a name"),
        (DOWN + "scales: [2]\nname: irn", "a method is called irn already"),
        ('down: "./gone {hr} {lr}"\nscales: [2]', "cannot run ./gone: there is no such file"),
        ('down: "./bad.yaml {hr} {lr}"\nscales: [2]', "chmod"),
        ('down: "gone-program {hr} {lr}"\nscales: [2]', "no program 'gone-program' on PATH"),
        ('down: "cp {hr}"\nscales: [2]', "down has no {lr}"),
        ('up: "cp {hr} {lr} {sr}"\nscales: [2]', "unknown placeholder of up"),
        ('up: "cp \'{lr} {sr}"\nscales: [2]', "up: No closing quotation"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, registry, text, says):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UsageError, match=says) as refused:
        choose(registry, str(tmp_path / "bad.yaml"))
    assert "bad.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_lacking_half_are_named(tmp_path, registry):
    with pytest.raises(UsageError, match=r"there is no program file ./gone.yaml"):
        choose(registry, "./gone.yaml")
    (tmp_path / "half.yaml").write_text(DOWN + "scales: [2]\n")
    with pytest.raises(UsageError, match=r"half has no upscaler; pair it, for example half\+bicubic"):
        choose(registry, str(tmp_path / "half.yaml"))
    with pytest.raises(UsageError, match="cannot be wrapped"):
        choose(registry, f"{tmp_path / 'half.yaml'}-type3")


def test_two_programs_of_one_name_are_refused(ours, small, capsys):
    other = ours.parent / "other" / ours.name
    other.parent.mkdir()
    shutil.copy(ours.parent / "half.py", other.parent)
    other.write_text(OURS + "time_limit: 7\n")
    assert main(["run", "-m", f"{ours},{other}", *small]) == 2
    assert "two different files are called ours" in capsys.readouterr().err


def test_a_path_may_hold_commas_colons_and_pluses_in_quotes(ours, registry):
    name = ours.with_name("a,b:c+d.yaml")
    name.write_text(OURS + "name: quoted\n")
    specs = parse_list(f'irn:z=zero,"{name}",bicubic')
    assert [spec.name for spec in specs] == ["irn", str(name), "bicubic"]
    assert registry.choose_method(specs[1]).label == "quoted"
