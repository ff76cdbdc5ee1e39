import os

import pytest

from rescale_bench.machine.writing import reason, write_atomically


def test_bytes_texts_and_writers_end_up_whole_and_alone(tmp_path):
    path = tmp_path / "file"
    for content in (b"one", "two", lambda place: place.write_text("three")):
        write_atomically(path, content)
        assert os.listdir(tmp_path) == ["file"]
    assert path.read_text() == "three"
    write_atomically(path, "ß", durable=False)
    assert path.read_bytes() == "ß".encode()


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def breaks(place):
        place.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        write_atomically(path, breaks)
    assert reason(caught.value) == "no space left on device"
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["file"])
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "file", "")


def test_files_have_the_rights_of_any_other_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "whole", "")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode
