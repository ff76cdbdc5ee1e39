import os
import subprocess
import sys

import pytest

from rescale_bench.machine import allocator

BLOCK = 64 * 2**20
CODE = f"""
import resource, sys
import torch
from rescale_bench.machine.allocator import give_back, keep_freed_memory
from rescale_bench.machine.memory import resident_bytes

def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(size, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

told = keep_freed_memory()
faults({BLOCK} + 2**20)  # an aligned block is cut out of a larger one
again = faults({BLOCK})
give_back()
faults({BLOCK})
held = resident_bytes()
give_back(2 * {BLOCK})
kept = held - resident_bytes()
give_back({BLOCK} // 2)
print(int(told), again, kept, held - resident_bytes())
"""
on_glibc = pytest.mark.skipif(allocator._glibc() is None, reason="not on glibc")


def outcome(**settings):
    env = {name: value for name, value in os.environ.items() if name not in allocator.SETTINGS} | settings
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=env)
    return tuple(map(int, done.stdout.split()))


@on_glibc
def test_freed_blocks_are_used_again_and_given_back_on_demand():
    told, faults, kept, returned = outcome()
    assert told
    assert faults < 100  # the block has 16,384 pages
    assert abs(kept) < BLOCK * 0.1  # less than was named lies idle
    assert returned > BLOCK * 0.9


@on_glibc
def test_users_settings_of_malloc_are_left_alone():
    told, faults, *_ = outcome(MALLOC_MMAP_MAX_="65536")
    assert not told
    assert faults >= BLOCK // 4096


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocator, "_glibc", lambda: None)
    assert allocator.keep_freed_memory() is False
    allocator.give_back()
