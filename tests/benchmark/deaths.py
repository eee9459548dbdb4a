"""Kills `whole`, and then `recover`, just before each of their calls to the system.

Usage: deaths.py folder|file PATH; prints how often it killed.
"""

import itertools
import os
import shutil
import sys
from pathlib import Path

from unscheduled.benchmark.write import recover, whole

# Audit events; each file or folder that is synced is opened for it.
CALLS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir")


def deaths(prepare, action):
    """Does the action in children that die at their first call, their second, ..."""
    for fatal in itertools.count(1):
        prepare()
        child = os.fork()
        if not child:
            calls = itertools.count(1)

            def die(event, _, calls=calls, fatal=fatal):
                if event in CALLS and next(calls) == fatal:
                    os._exit(9)

            sys.addaudithook(die)
            action()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        assert status == 9, status
        yield fatal


def put(path, kind, text):
    """A file, or a folder with a file in each of two levels."""
    if kind == "file":
        path.write_text(text)
        return
    (path / "inner").mkdir(parents=True)
    (path / "a").write_text(text)
    (path / "inner" / "b").write_text(text)


def content(path):
    files = [path] if path.is_file() else [path / "a", path / "inner" / "b"]
    return {file.read_text() for file in files}


def main(kind, root):
    place, copy = root / "place", root / "copy"
    path = place / "it"

    def start():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        put(path, kind, "old")

    def go_back():
        shutil.rmtree(place)
        shutil.copytree(copy, place)

    def replace():
        with whole(path) as new:
            put(new, kind, "new")

    left, found = [], []
    for _ in deaths(start, replace):
        tree = sorted((p, p.is_file() and p.read_text()) for p in place.rglob("*"))
        if tree in left:
            continue
        left.append(tree)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(place, copy)
        for _ in itertools.chain(deaths(go_back, lambda: recover(path)), ["alive"]):
            recover(path)
            found.append(content(path))
            assert found[-1] in ({"old"}, {"new"}), tree
            assert [*place.iterdir()] == [path]
    assert content(path) == {"new"}, "the one that survived"
    assert {"old"} in found
    assert {"new"} in found
    print(len(found))


if __name__ == "__main__":
    os.fsync = lambda descriptor: None  # waits long, and no power is cut here
    main(sys.argv[1], Path(sys.argv[2]))
