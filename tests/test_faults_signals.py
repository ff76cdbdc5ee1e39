"""SIGKILL, SIGTERM and Ctrl-C at random moments of a run's whole life, from its imports to its table."""

import os
import random
import signal
import time

import fault_runs
import pytest

STOPS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
DELAY = {"TOY_DELAY": "0.1"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return fault_runs.make_world(tmp_path_factory)


def wait_for_moment(process, seconds):
    """Wait until a process has had so much processor time (or so much time at all), or has ended."""
    started = time.monotonic()
    while process.poll() is None:
        had = fault_runs.processor_seconds(process.pid)
        if (time.monotonic() - started if had is None else had) >= seconds:
            return
        time.sleep(0.001)


def journal_of(folder):
    path = folder / "journal.jsonl"
    return path.read_bytes() if path.exists() else b""


def disturb(world, folder, number, moment):
    """Stop a run; returns whether it was stopped, after checking what it left and said."""
    before = journal_of(folder)
    process = world.start(folder)
    wait_for_moment(process, moment)
    running = process.poll() is None
    if running:
        process.send_signal(number)
    code, said = fault_runs.finish(process)
    after = journal_of(folder)
    kept = before[: before.rfind(b"\n") + 1]
    assert after.startswith(kept)
    if code == 130:
        assert number != signal.SIGKILL
        assert sum("interrupted" in line for line in said) == 1, said
    else:
        # Ended by the signal itself (before main and after it), or the run had done its work.
        assert code in (0, -number), (code, said)
    if fault_runs.lines(folder):
        world.agrees(folder)
    return running


def try_moments(world, capfd, folder, times, seed):
    """Stop a run at random moments, start over when it is complete; returns how many stops hit a running one."""
    rng = random.Random(seed)
    hits = 0
    for turn in range(times):
        goal = folder / f"run{turn // 6}"
        hits += disturb(world, goal, STOPS[turn % len(STOPS)], rng.uniform(0.4, 4.0))
        if turn % 6 == 5 or turn == times - 1:
            code, said = world.call(capfd, goal, "-q")
            assert (code, [line for line in said if "half-written" not in line]) == (0, [])
            world.complete(goal)
    return hits


def test_stops_at_random_moments_lose_nothing(world, tmp_path, capfd):
    assert try_moments(world, capfd, tmp_path, 4, seed=3) >= 2


@pytest.mark.slow
def test_many_stops_at_random_moments_lose_nothing(world, tmp_path, capfd):
    assert try_moments(world, capfd, tmp_path, 60, seed=4) >= 30


def children(pid):
    """List the processes that a process started, and theirs."""
    found = []
    for folder in os.listdir("/proc"):
        if folder.isdigit():
            try:
                with open(f"/proc/{folder}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found += [int(folder), *children(int(folder))]
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are looked up in /proc")
@pytest.mark.parametrize(
    ("flags", "lines"),
    [
        (("-j", "2"), 1),
        (("--timeout", "60"), 0),
        pytest.param(("-j", "2"), 0, marks=pytest.mark.slow),
        pytest.param(("--timeout", "60"), 1, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_in_a_terminal_reaches_workers_too(world, tmp_path, capfd, flags, lines):
    """A terminal sends SIGINT to the whole group, also while the workers are still importing (lines = 0)."""
    process = world.start(tmp_path, "--limit", "2", *flags, "-q", env=DELAY, start_new_session=True)
    if lines:
        fault_runs.wait_for_lines(process, tmp_path, lines)
    else:
        while process.poll() is None and not (tmp_path / "env.json").exists():
            time.sleep(0.002)
        while process.poll() is None and not children(process.pid):
            time.sleep(0.002)
        time.sleep(0.3)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    code, said = fault_runs.finish(process)
    assert code == 130, said
    assert len(said) == 1, said
    assert "interrupted" in said[0]
    assert "the same command goes on from here" in said[0]
    end = time.monotonic() + 300
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, workers))
    assert fault_runs.lines(tmp_path) >= lines
    assert world.call(capfd, tmp_path, "--limit", "2", "-q") == (0, [])
    world.complete(tmp_path, count=2)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are looked up in /proc")
def test_nothing_outlives_a_killed_run_that_is_guarded(world, tmp_path):
    """The child of a run that was killed ends by itself, even inside a cell that hangs."""
    process = world.start(tmp_path, "-m", "hangs", "--timeout", "600", env={"TOY_FAULT": "hangs"})
    while process.poll() is None and not any((fault_runs.processor_seconds(p) or 0) > 3 for p in children(process.pid)):
        time.sleep(0.01)
    workers = children(process.pid)
    process.kill()
    assert fault_runs.finish(process)[0] == -signal.SIGKILL
    end = time.monotonic() + 300
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert workers
    assert not any(map(alive, workers))
