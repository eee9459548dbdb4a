"""Find the folders of trials below a root: names, links and depth, no contents."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from unscheduled.scoring.errors import ScoringError
from unscheduled.scoring.irregularities import (
    FILE_NAME,
    ZIPPED_NAME,
    Irregularity,
    printable,
)

_TRIAL = re.compile("trial_([0-9]+)")
_WORKLOAD = re.compile("(.+)_(jax|pytorch)")
_LAYOUT_DEPTH = 4  # submission, study, workload, trial
_SEARCH_DEPTH = 6  # ends the search where folders have nothing to do with logs

# What names a trial, and the order in which trials are sorted.
key_of = attrgetter("submission", "workload", "framework", "study", "number")


class TrialFolder(NamedTuple):
    """The folder of a trial, with at least one log in it.

    Attributes:
      path: by the names that the user gave, absolute.
      real: with links resolved.
      logs: which of `FILE_NAME` and `ZIPPED_NAME` it has.
    """

    path: str
    real: str
    submission: str
    study: str
    workload: str
    framework: str
    number: int
    logs: tuple[str, ...]


@dataclass
class Found:
    """What a search came upon.

    Attributes:
      folders: in the order of the search, which is that of names.
      n_other: files and folders that are no logs and lead to none.
      odd: folders with names that do not print, already noted.
    """

    folders: dict[str, TrialFolder] = field(default_factory=dict)
    irregularities: list[Irregularity] = field(default_factory=list)
    n_other: int = 0
    odd: set[Path] = field(default_factory=set)

    def note(self, rule: str, path: str, what: str, count: int = 1) -> None:
        found = Irregularity(rule, Path(path), what, count=count)
        if found not in self.irregularities[-1:]:
            self.irregularities.append(found)


class _Place(NamedTuple):
    """A folder in the search: its path, the real paths down to it, and how deep."""

    path: str
    real: tuple[str, ...]
    depth: int


def find_trials(root: str | Path, found: Found) -> None:
    """Add the trials below `root` to `found`.

    Raises:
      ScoringError: `root` is no folder.
    """
    top = os.path.abspath(root)  # unlike a resolved path, keeps the names of links
    if not os.path.isdir(top):
        raise ScoringError(f"No such folder: {printable(root)}.")
    too_deep: dict[str, int] = {}
    for place in _walk(_Place(top, (os.path.realpath(top),), 0), found):
        if place.depth > _LAYOUT_DEPTH:
            group = str(Path(place.path).parents[3])
            too_deep[group] = too_deep.get(group, 0) + 1
        elif place.path not in found.folders:
            _add_trial(place, found)
    for group, count in too_deep.items():
        what = f"trials below it lie too deep in {root}: name this folder to score them"
        found.note("misplaced", group, what, count)


def _walk(place: _Place, found: Found) -> Iterator[_Place]:
    """The folders that are named as a trial's, in the order of their names."""
    name = os.path.basename(place.path)
    if _TRIAL.fullmatch(name):
        yield place
        return
    if place.depth == _SEARCH_DEPTH:
        found.note("not_searched", place.path, "a folder that is too deep for logs")
        return
    for entry in _entries(place.path, found):
        if entry.name in (FILE_NAME, ZIPPED_NAME):
            found.note("misplaced", place.path, f"{entry.name} in no trial's folder")
        elif not _is_folder(entry):
            found.n_other += 1
        elif inner := _enter(place, entry, found):
            yield from _walk(inner, found)


def _enter(place: _Place, entry: os.DirEntry[str], found: Found) -> _Place | None:
    """The folder `entry` in `place`; None for a link that leads back up."""
    real = os.path.join(place.real[-1], entry.name)
    if entry.is_symlink():
        real = os.path.realpath(entry.path)
        if real in place.real:
            found.note("link_loop", entry.path, f"a link up to {real}")
            return None
    return _Place(entry.path, (*place.real, real), place.depth + 1)


def _entries(folder: str, found: Found) -> list[os.DirEntry[str]]:
    """What is in a folder, by name; nothing where it can't be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.note("not_searched", folder, f"can't be listed: {error.strerror}")
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _add_trial(place: _Place, found: Found) -> None:
    *_, submission, study, workload_folder, trial = ["", "", "", *_parts(place.path)]
    workload = _WORKLOAD.fullmatch(workload_folder)
    number = _TRIAL.fullmatch(trial)
    assert number is not None
    if not workload or not submission:
        found.note("misplaced", place.path, "a trial in no workload's folder")
        return
    try:
        names = os.listdir(place.path)
    except OSError:  # without leave to list it: reading the log will tell
        names = [FILE_NAME]
    logs = tuple(name for name in (FILE_NAME, ZIPPED_NAME) if name in names)
    found.n_other += len(names) - len(logs)
    if not logs:
        found.note("no_log", place.path, f"no {FILE_NAME}")
        return
    _note_odd_names(place.path, found)
    found.folders[place.path] = TrialFolder(
        place.path,
        place.real[-1],
        printable(submission),
        printable(study),
        printable(workload[1]),
        workload[2],
        int(number[1]),
        logs,
    )


def _parts(path: str) -> list[str]:
    return [part for part in path.split(os.sep) if part]


def _note_odd_names(path: str, found: Found) -> None:
    """Names in the layout that are not printed as they are, once a folder."""
    if path.isprintable():
        return
    for named in Path(path).parents[2::-1]:
        if not named.name.isprintable() and named not in found.odd:
            found.odd.add(named)
            found.note("odd_name", str(named), "a name that does not print")
