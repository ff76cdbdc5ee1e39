"""Methods that raise, leave, hang, grow, die or return nonsense: each fails alone, and can be measured once healed."""

import fault_runs
import pytest

from rescale_bench.machine.memory import resident_bytes
from rescale_bench.runs.folder import read_table


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return fault_runs.make_world(tmp_path_factory)


def failures(folder):
    rows = read_table(folder)
    failed = rows[rows["status"] == "failed"]
    assert failed["value"].isna().all()
    return failed.groupby("method")["error"].first().to_dict()


def test_methods_that_break_their_contract_fail_alone(world, tmp_path, capfd):
    methods = "steady,raises,quits,nan,small,bytes,bicubic"
    grid = ("-m", methods, "-s", "2", "--limit", "2")
    bad = "raises,quits,nan,small,bytes"
    code, said = world.run(tmp_path, *grid, env={"TOY_FAULT": bad})
    assert code == 1
    reasons = {
        "raises": "raises: upscale raised ValueError: no idea",
        "quits": "a plugin called sys.exit(0)",
        "nan": "nan: upscale returned values that are not finite",
        "small": "small: upscale returned 3×32×36 where 3×64×72 is due",
        "bytes": "bytes: upscale returned torch.uint8, not floats in [0, 1]",
    }
    assert failures(tmp_path) == reasons
    assert len(world.agrees(tmp_path)) == 4
    for name, reason in reasons.items():
        assert sum(reason in line and f"first: {name} ×2 on toys/p" in line for line in said) == 1, said
    code, said = world.call(capfd, tmp_path, *grid)
    assert (code, said) == (0, [f"10 cells measured, 4 taken from the store; results in {tmp_path}"])
    world.complete(tmp_path, methods, "2", 2)


@pytest.mark.skipif(resident_bytes() is None, reason="the platform does not tell what a process holds")
def test_methods_that_hang_and_grow_are_killed_alone(world, tmp_path, capfd):
    grid = ("-m", "hangs,eats,steady", "-s", "2", "--limit", "1")
    limits = ("--timeout", "10", "--memory-limit", "1.5GB")
    code, said = world.run(tmp_path, *grid, *limits, env={"TOY_FAULT": "hangs,eats"})
    assert code == 1
    found = failures(tmp_path)
    assert set(found) == {"hangs", "eats"}
    assert found["hangs"] == "timed out after 10 s; allow it more"
    # On a machine that is busy enough, time may run out before the memory does.
    assert "1.5 GB; allow it more" in found["eats"] or "timed out" in found["eats"]
    for reason in set(found.values()):
        assert sum(reason in line for line in said) == 1, said
    assert len(world.agrees(tmp_path)) == 1
    code, said = world.call(capfd, tmp_path, *grid)
    assert (code, said) == (0, [f"2 cells measured, 1 taken from the store; results in {tmp_path}"])
    world.complete(tmp_path, "hangs,eats,steady", "2", 1)


def test_workers_that_die_take_one_cell_each_with_them(world, tmp_path, capfd):
    """Without any limit: what is left then runs guarded, so that the same command ends, and again once healed."""
    grid = ("-m", "exits,crashes,steady", "-s", "2", "--limit", "1")
    code, said = world.run(tmp_path, *grid, "-j", "2", env={"TOY_FAULT": "exits,crashes"})
    assert code == 1, said
    reasons = {"exits": "its process ended with exit code 7", "crashes": "its process was ended by SIGSEGV"}
    assert failures(tmp_path) == reasons
    for reason in reasons.values():
        assert sum(reason in line for line in said) == 1, said
    assert len(world.agrees(tmp_path)) == 1
    code, said = world.call(capfd, tmp_path, *grid)
    assert (code, said) == (0, [f"2 cells measured, 1 taken from the store; results in {tmp_path}"])
    world.complete(tmp_path, "exits,crashes,steady", "2", 1)
