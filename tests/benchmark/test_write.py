"""Files and folders are written whole or not at all, whenever the end comes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unscheduled.benchmark import write


def put(path, kind, text):
    if kind == "folder":
        path.mkdir()
        path = path / "inside"
    path.write_text(text)


def content(path):
    return (path / "inside" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_fails_leaves_what_was_there_and_nothing_beside_it(tmp_path, kind):
    """An error while writing that leaves half of it, or a folder of scraps."""
    path = tmp_path / "it"
    put(path, kind, "old")

    def fail():
        with write.whole(path) as temporary:
            put(temporary, kind, "ne")
            temporary.with_name("beside").mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert content(path) == "old"
    with write.whole(path) as temporary:
        put(temporary, kind, "new")
    assert content(path) == "new"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("call", ["rename", "replace"])
def test_what_cannot_be_renamed_leaves_what_was_there(
    tmp_path, monkeypatch, kind, call
):
    """A disk that fails between the two renames of a folder, and then has neither."""
    path = tmp_path / "it"
    put(path, kind, "old")

    def fail(source, target):
        raise OSError("no space left")

    def replace():
        with write.whole(path) as temporary:
            put(temporary, kind, "new")

    with monkeypatch.context() as patch:
        real = os.rename
        fails_once = iter([fail])
        patch.setattr(os, call, lambda *a: next(fails_once, real)(*a))
        if (kind, call) == ("file", "rename"):  # a file needs none
            replace()
        else:
            with pytest.raises(OSError, match="no space left"):
                replace()
            assert content(path) == "old"
    replace()
    assert content(path) == "new"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(("kind", "least"), [("file", 10), ("folder", 80)])
def test_death_at_any_call_leaves_the_old_or_the_new(tmp_path, kind, least):
    """A moment at which the old one is gone and the new one is not there, or is taken
    for half written; also while an earlier death is being put right."""
    script = Path(__file__).with_name("deaths.py")
    result = subprocess.run(
        [sys.executable, script, kind, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > least


def test_all_of_it_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """A power cut after which a checkpoint has its name and no content."""
    synced, replace = [], os.replace

    def checked_replace(source, target):
        inside = {p.stat().st_ino for p in [source, *source.rglob("*")]}
        assert len(inside) == 4
        assert inside <= set(synced)
        synced.clear()
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    monkeypatch.setattr(os, "replace", checked_replace)
    with write.whole(tmp_path / "it") as new:
        (new / "inner").mkdir(parents=True)
        (new / "a").touch()
        (new / "inner" / "b").touch()
    assert synced == [tmp_path.stat().st_ino]


@pytest.mark.parametrize("kind", ["pipe", "file", "link"])
def test_whatever_has_the_temporary_name_is_no_obstacle(tmp_path, kind):
    """A pipe that is written to for ever, or a link to a file that is overwritten."""
    other, leftover = tmp_path / "other", tmp_path / "it.tmp"
    other.write_text("mine")
    if kind == "pipe":
        os.mkfifo(leftover)
    elif kind == "link":
        leftover.symlink_to(other)
    else:
        leftover.touch()
    write.write_json(tmp_path / "it", {"a": 1})
    assert content(tmp_path / "it") == '{\n  "a": 1\n}\n'
    assert content(other) == "mine"
    assert not os.path.lexists(leftover)


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    """A folder of the user's that goes where a file was to be written."""
    put(tmp_path / "it", "folder", "mine")
    with pytest.raises(IsADirectoryError):
        write.write_json(tmp_path / "it", {})
    assert content(tmp_path / "it") == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["it"]


def test_only_a_link_is_removed(tmp_path):
    """A checkpoint kept elsewhere that goes with the link to it."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    write.remove(tmp_path / "link")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
