"""The digest that a checkpoint carries, so that damage is found before it is trusted.

A zip file, as `torch.save` writes it, has it as its zip comment; a folder, as orbax
writes it, a list that `sha256sum --check` reads. Other tools still read both.
"""

import hashlib
from pathlib import Path

from unscheduled.benchmark.read import open_regular, read_bytes

SUMS = "SHA256SUMS"
_PREFIX = b"sha256:"
_COMMENT_SIZE = len(_PREFIX) + 64
_CHUNK = 1 << 20


def seal(path: Path) -> None:
    """Adds its digest to a checkpoint that has none yet."""
    if path.is_dir():
        (path / SUMS).write_bytes(_sums(path))
        return
    with open(path, "r+b") as file:
        file.seek(-2, 2)  # a zip file ends with the size of its comment, and that
        file.write(_COMMENT_SIZE.to_bytes(2, "little"))
    digest = _sha256(path)
    with open(path, "ab") as file:
        file.write(_PREFIX + digest.encode())


def check(path: Path) -> None:
    """Reads all of a checkpoint.

    Raises:
      ValueError: where any of it is not as it was when it was sealed, or has no digest.
      UserError: where something can't be read, or is no regular file.
    """
    if path.is_dir():
        _check_folder(path)
        return
    size = path.stat().st_size - _COMMENT_SIZE
    with open_regular(path) as file:
        file.seek(max(size, 0))
        comment = file.read(_COMMENT_SIZE)
    if not comment.startswith(_PREFIX):
        raise ValueError("it has no digest: cut off, or of another version")
    if comment != _PREFIX + _sha256(path, size).encode():
        raise ValueError("it is not what was written, by its digest")


def _check_folder(folder: Path) -> None:
    found, expected = _sums(folder), read_bytes(folder / SUMS)
    if found != expected:
        differing = set(found.splitlines()) ^ set(expected.splitlines())
        names = {line[66:].decode(errors="replace") for line in differing} or {SUMS}
        raise ValueError(f"{min(names)!r} in it is not what was written, by its digest")


def _sums(folder: Path) -> bytes:
    """The digests of all files in a folder but that of the list itself."""
    files = (p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    names = sorted(str(p.relative_to(folder)) for p in files)
    lines = (f"{_sha256(folder / n)}  {n}\n" for n in names if n != SUMS)
    return "".join(lines).encode()


def _sha256(path: Path, size: float = float("inf")) -> str:
    """The digest of a file's first `size` bytes."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while size > 0 and (chunk := file.read(int(min(size, _CHUNK)))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()
