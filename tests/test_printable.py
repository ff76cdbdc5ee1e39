import os
import string

from hypothesis import given
from hypothesis import strategies as st

from rescale_bench.machine.printable import file_name, printable


@given(st.text())
def test_nothing_unprintable_is_left(text):
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()


def test_escapes_and_what_is_kept():
    assert printable("\x1b[31mred\x7f\x9b\u202egnp\n") == r"\x1b[31mred\x7f\x9b\u202egnp\n"
    assert printable("two\nlines\x07", keep="\n\t") == "two\nlines\\x07"
    assert printable("Ångström, 写真, é") == "Ångström, 写真, é"


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0")) | st.binary().map(
    lambda raw: os.fsdecode(raw.translate(None, b"/\0"))
)


@given(names, names)
def test_two_files_never_share_a_name(first, second):
    assert file_name(first).isprintable()
    assert (file_name(first) == file_name(second)) == (first == second)


@given(st.text(string.printable[:-5].replace("\\", "")))
def test_plain_names_stay(name):
    assert file_name(name) == name
