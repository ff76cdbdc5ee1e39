"""A disk that is full, fills up, or may not be written: a small tmpfs where mounting is allowed, else a file limit."""

import os
import resource
import subprocess
from pathlib import Path

import fault_runs
import pytest

from rescale_bench.machine.printable import plural
from rescale_bench.runs.folder import read_table


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return fault_runs.make_world(tmp_path_factory)


class Disk:
    """A folder that can be made small, large, and read-only. mounted: whether it is a disk of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.limit = folder, 0
        self.mounted = self._mount("-t", "tmpfs", "-o", "size=256k", "none")

    def _mount(self, *arguments):
        command = ["mount", *arguments, str(self.folder)]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:  # not on Windows
            return False

    def resize(self, kilobytes):
        """Set the room there is; where this is no disk of its own, the room that each file may take."""
        self.limit = 0 if self.mounted else kilobytes * 1024
        assert not self.mounted or self._mount("-o", f"remount,size={kilobytes}k")

    def settings(self):
        """Give what starting a process needs so that the limit holds."""
        size = self.limit or resource.RLIM_INFINITY
        return {"prepare": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))}

    def protect(self, on):
        if self.mounted:
            assert self._mount("-o", f"remount,{'ro' if on else 'rw'}")
        elif os.getuid() == 0:
            pytest.skip("root may write anywhere, and this root may not mount")
        else:
            for path in (*self.folder.rglob("*"), self.folder):
                path.chmod((0o555 if on else 0o755) if path.is_dir() else (0o444 if on else 0o644))

    def close(self):
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "disk")
    yield disk
    disk.close()


def fill_up(world, disk, capfd, kilobytes, *more):
    """Run on a disk that is too small, then on one that is not; returns the cells that fitted."""
    run = disk.folder / "run"
    disk.resize(kilobytes)
    code, said = world.run(run, *more, "-q", **disk.settings())
    assert (code, len(said)) == (2, 1), said
    assert "no space left on device" in said[0] or "file too large" in said[0]
    assert str(run) in said[0]
    kept = world.agrees(run) if fault_runs.lines(run) else set()
    disk.resize(4096)
    code, said = world.call(capfd, run, *more)
    assert code == 0, said
    assert f"{plural(16 - len(kept), 'cell')} measured, {len(kept)} taken from the store" in said[-1] or not kept
    assert len(said) <= 2, said  # a half-written last line is said, too
    world.complete(run)
    return len(kept)


def test_a_disk_that_fills_up_keeps_what_fitted(world, disk, capfd):
    assert 0 < fill_up(world, disk, capfd, 20 if disk.mounted else 6) < 16


def test_a_disk_that_holds_all_but_the_table(world, disk, capfd):
    if not disk.mounted:
        pytest.skip("a limit on the size of files strikes the journal first")
    assert fill_up(world, disk, capfd, 28) == 16


def test_a_disk_that_fills_up_with_pictures(world, disk, capfd):
    """Pictures that do not fit make their cells fail, and then the journal does not fit either."""
    assert fill_up(world, disk, capfd, 100 if disk.mounted else 6, "--keep") < 16


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", range(4, 64, 4))
def test_disks_of_every_size(world, disk, capfd, kilobytes):
    if not disk.mounted:
        pytest.skip("sizes of files say nothing new")
    run = disk.folder / "run"
    disk.resize(kilobytes)
    code, said = world.call(capfd, run, "-q")
    assert (code, len(said)) in ((2, 1), (0, 0)), said
    kept = world.agrees(run) if fault_runs.lines(run) else set()
    assert code == 2 or len(kept) == 16
    disk.resize(4096)
    assert world.call(capfd, run, "-q")[0] == 0
    world.complete(run)


def test_a_full_disk_is_named_before_anything_is_measured(world, disk, capfd):
    if not disk.mounted:
        pytest.skip("a limit on the size of files does not fill a disk")
    with (disk.folder / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(bytes(4096) for _ in range(1000))
    code, said = world.call(capfd, disk.folder / "run")
    assert (code, len(said)) == (2, 1), said
    assert "no space left on device" in said[0]
    assert "choose another -o" in said[0]


def test_a_folder_that_has_become_read_only_can_be_read_and_is_named(world, disk, capfd):
    from rescale_bench.cli import main

    run = disk.folder / "run"
    assert world.call(capfd, run, "--limit", "1", "-q") == (0, [])
    disk.protect(True)
    code, said = world.call(capfd, run, "-q")
    assert (code, len(said)) == (2, 1), said
    assert "read-only file system" in said[0] or "permission denied" in said[0]
    assert main(["table", "-i", str(run)]) == 0
    assert "bicubic" in capfd.readouterr().out
    disk.protect(False)
    assert len(read_table(run)["cell"].unique()) == 4
    assert world.call(capfd, run, "-q") == (0, [])
    world.complete(run)
