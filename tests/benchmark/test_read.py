"""Files from outside: what is wrong with one is told in a sentence that names it."""

import contextlib
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import (
    expand,
    parse_python,
    read_bytes,
    read_json,
    read_text,
    read_yaml,
)

READERS = [read_bytes, read_text, read_json, read_yaml]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device"])
def test_what_is_no_regular_file_is_refused_without_waiting(read, kind, tmp_path):
    """A pipe or a device in place of a file would be read for ever."""
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    began = time.monotonic()
    with pytest.raises(UserError, match=str(path)):
        read(path)
    assert time.monotonic() - began < 5


def test_a_size_is_bounded(tmp_path):
    """A file that fills the memory would be read."""
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_bytes(path, max_bytes=5) == b"12345"
    with pytest.raises(UserError, match="over 4 bytes"):
        read_bytes(path, max_bytes=4)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\xff\xfe{}", "UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1" + b"0" * 5000 + b"]", "4300 digits"),
        (b'{"a": 1, "a": 2}', "'a' is there twice"),
        (b"", "not a JSON file"),
    ],
)
def test_json(text, why, tmp_path):
    """A JSON file that can't be read would end in a traceback."""
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(UserError, match=why) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\xff", "UTF-8"),
        (b"[" * 5000, "nested too deeply"),
        (b"{a: " * 200_000, "nested too deeply"),  # in no time
        (b"version: 2025-99-99", "month"),
        (b"version: " + b"1" * 5000, "4300 digits"),
        (b"a: &a [1]\nb: [*a, *a]", "aliases are not"),
        (b"a: !!python/object:os.system {}", "constructor"),
        (b"a: {", "not a YAML file"),
    ],
)
def test_yaml(text, why, tmp_path):
    """A YAML file that can't be read would end in a traceback, or fill the memory."""
    path = tmp_path / "x.yml"
    path.write_bytes(text)
    with pytest.raises(UserError, match=why) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = (", "not a Python file"),
        ("x = 1\0", "null bytes"),
        ("-" * 100_000 + "1", "nested too deeply"),
        ("(" * 100 + ")" * 100 + "\n" + "x" + ".y" * 100_000, "nested too deeply"),
    ],
)
def test_python(text, why):
    """Source that can't be parsed would end in a traceback."""
    with pytest.raises(UserError, match=why) as caught:
        parse_python(text, "x.py")
    assert "x.py" in str(caught.value)


def test_the_home_of_nobody():
    """`~nobody/x` would end in a traceback."""
    with pytest.raises(UserError, match="~no_such_user/x"):
        expand("~no_such_user/x")


def test_what_is_whole_is_read(tmp_path):
    """A byte order mark, or a link to the file, would be refused."""
    path, link = tmp_path / "x", tmp_path / "link"
    link.symlink_to(path)
    path.write_bytes(b"\xef\xbb\xbf" + '{"a": [1, "ä", null]}'.encode())
    for read in (read_json, read_yaml):
        assert read(link) == {"a": [1, "ä", None]}


@pytest.mark.parametrize("read", [read_json, read_yaml])
@given(data=st.binary(max_size=40))
def test_any_bytes_give_a_value_or_a_sentence(read, data, tmp_path_factory):
    """Some bytes would raise what no caller expects."""
    path = tmp_path_factory.mktemp("bytes") / "x"
    path.write_bytes(data)
    with contextlib.suppress(UserError):  # no other
        read(path)
