"""Folders that are written whole or not at all."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from unscheduled.benchmark.errors import UserError


def write_whole(
    out: Path, entries: Mapping[str, str | Mapping[str, str]], overwrite: bool = False
) -> None:
    """Writes files and folders below `out`, each of them whole or not at all.

    What else is there stays. Where writing fails, what was there before is there
    still.

    Args:
      out: made if need be.
      entries: by path in `out`, a file's text, or a folder's texts by path in it.
      overwrite: whether to replace what is there; a folder with all that is in it.

    Raises:
      UserError: where something is there already and `overwrite` is false.
    """
    taken = [out / place for place in entries if _is_taken(out / place)]
    if taken and not overwrite:
        raise UserError(
            f"{taken[0]} is there already: --overwrite replaces it, or choose another "
            "--out."
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out) as temporary:
        new, old = Path(temporary, "new"), Path(temporary, "old")
        for place, content in entries.items():
            _write(new / place, content)
        _swap(new, out, old, list(entries))


def _is_taken(path: Path) -> bool:
    """Whether there is more at a path than an empty folder."""
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def _write(path: Path, content: str | Mapping[str, str]) -> None:
    files = {"": content} if isinstance(content, str) else content
    for place, text in files.items():
        target = path / place if place else path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")


def _swap(new: Path, out: Path, old: Path, places: list[str]) -> None:
    """Moves `places` from `new` to `out`, and what was there to `old`."""
    done: list[str] = []
    try:
        for place in places:
            done.append(place)
            _move(out / place, old / place)
            _move(new / place, out / place)
    except BaseException:
        for place in done:
            _undo(out / place, old / place, new / place)
        raise


def _undo(place: Path, old: Path, new: Path) -> None:
    """Puts back what was at `place`, unless it never left."""
    if not new.exists():
        _move(place, new)
    _move(old, place)


def _move(source: Path, target: Path) -> None:
    """Renames a file or folder, if it is there."""
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
