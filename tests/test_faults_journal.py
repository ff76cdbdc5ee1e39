"""Journals that are damaged, cut or shared, and clocks that go back."""

import os
import random
import re
import shutil
import time

import fault_runs
import pytest

from rescale_bench.cli import main
from rescale_bench.errors import StoreError
from rescale_bench.machine.printable import plural
from rescale_bench.runs.folder import Run, read_table
from rescale_bench.runs.journal import sealed, unsealed


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return fault_runs.make_world(tmp_path_factory)


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main(world.arguments(folder, "-q")) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def replace_line(folder, number, change):
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[number - 1] = change(lines[number - 1])
    journal.write_bytes(b"".join(lines))


def one_digit(line):
    """Change the third decimal of a PSNR: still JSON, still a plausible number."""
    found = re.search(rb'"value":\d+\.\d\d(\d)', line)
    digit = b"%d" % ((int(found[1]) + 1) % 10)
    return line[: found.start(1)] + digit + line[found.end(1) :]


DAMAGES = {
    "noise": lambda line: bytes(random.Random(1).choices(range(256), k=40)).replace(b"\n", b"") + line[40:],
    "zeros": lambda line: line[:50] + bytes(300) + line[350:],
    "one digit": one_digit,
    "one bit of a name": lambda line: line.replace(b'"dataset":"toys"', b'"dataset":"toxs"'),
    "lost line break": lambda line: line[:-1],
    "cut and gone on": lambda line: line[:200] + b"\n",
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_in_the_middle_is_named_and_costs_one_cell(world, run, kind, capfd):
    replace_line(run, 5, DAMAGES[kind])
    before = (run / "journal.jsonl").read_bytes()
    for command in (world.arguments(run), ["table", "-i", str(run)]):
        assert main(command) == 2
        said = capfd.readouterr().err.splitlines()
        assert len(said) == 1, said
        assert f"{run / 'journal.jsonl'}, line 5 is damaged; delete it" in said[0]
    assert (run / "journal.jsonl").read_bytes() == before
    replace_line(run, 5, lambda line: b"")
    missing = 16 - len(Run(run).lines())
    assert missing == (2 if kind == "lost line break" else 1)
    assert main(world.arguments(run)) == 0
    assert f"{plural(missing, 'cell')} measured, {16 - missing} taken from the store" in capfd.readouterr().err
    world.complete(run)


def test_every_flipped_bit_of_a_line_is_seen(run):
    journal = run / "journal.jsonl"
    raw = journal.read_bytes().splitlines(keepends=True)[0]
    good = Run(journal.parent).lines()
    first = next(iter(good))
    for position in range(len(raw) - 1):
        damaged = bytearray(raw)
        damaged[position] ^= 1 << position % 8
        journal.write_bytes(bytes(damaged))
        try:
            found = Run(journal.parent).lines()
        except StoreError:
            continue
        # Only a bit of the checksum itself can go unseen: no number moves.
        assert position >= len(raw) - len(',"crc":"01234567"}\n')
        assert {name: found[first][name] for name in good[first]} == good[first]


def test_lines_without_a_checksum_are_still_read():
    line = {"cell": "a", "value": "inf", "text": 'crc":"×"'}
    assert unsealed(sealed(line)) == line
    assert unsealed('{"cell":"a"}') == {"cell": "a"}
    with pytest.raises(ValueError, match="crc"):
        unsealed(sealed(line).replace("inf", "1.0"))


def test_a_journal_cut_anywhere_costs_at_most_one_cell(world, run, capfd):
    """Cut in the last two lines at random places, as a machine that loses power does."""
    journal = run / "journal.jsonl"
    content = journal.read_bytes()
    last_two = len(content) - sum(map(len, content.splitlines(keepends=True)[-2:]))
    rng = random.Random(5)
    for _ in range(12):
        cut = rng.randrange(last_two + 1, len(content))
        journal.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert len(read_table(run)["cell"].unique()) == whole
        assert main(world.arguments(run)) == 0
        said = capfd.readouterr().err
        assert f"{plural(16 - whole, 'cell')} measured, {whole} taken from the store" in said
        assert said.count("half-written") == (content[cut - 1] != ord("\n"))
        world.complete(run)


def test_two_runs_on_one_folder(world, tmp_path, capfd):
    """The second says who holds the folder and stops; the first goes on as if nothing had been."""
    run, gate = tmp_path / "run", tmp_path / "gate"
    gate.touch()
    first = world.start(run, "-q", env={"TOY_GATE": str(gate)})
    while first.poll() is None and not (run / "env.json").exists():
        time.sleep(0.01)
    code, said = world.call(capfd, run, "-s", "2")
    gate.unlink()
    assert fault_runs.finish(first) == (0, [])
    assert (code, len(said)) == (2, 1), said
    assert f"another run (process {first.pid}) writes to {run}; wait or choose another -o" in said[0]
    world.complete(run)


BACKWARDS = """
import itertools, time
real, steps = time.time, itertools.count()
time.time = lambda: real() - 3600.0 * next(steps)
time.time_ns = lambda: int(time.time() * 1e9)
"""


def test_a_clock_that_goes_back_all_the_time(world, tmp_path):
    """An hour back at every look at the clock: nothing moves, no duration is negative."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BACKWARDS)
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    settings = {"env": {"PYTHONPATH": path}}
    code, said = world.run(tmp_path / "run", "--limit", "2", "-q", **settings)
    assert (code, said) == (0, [])
    world.complete(tmp_path / "run", count=2)
    assert (read_table(tmp_path / "run")["seconds"] >= 0).all()


def test_a_clock_set_back_between_two_runs(world, run, capfd):
    """A table that seems newer than lines written after it is made anew: its rows would be missing otherwise."""
    journal, table = run / "journal.jsonl", run / "results.parquet"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:10]))
    assert main([*world.arguments(run, "--limit", "1"), "-q"]) == 0
    capfd.readouterr()
    # The rest was measured by a run that was killed before it wrote its table, and at an earlier time.
    known = set(Run(journal.parent).lines())
    journal.write_bytes(
        journal.read_bytes() + b"".join(line for line in lines if unsealed(line.decode())["cell"] not in known)
    )
    os.utime(journal, (10**9, 10**9))
    assert table.stat().st_mtime > journal.stat().st_mtime
    assert main([*world.arguments(run), "-q"]) == 0
    world.complete(run)
