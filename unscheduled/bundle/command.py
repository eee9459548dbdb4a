"""From the flags of `scripts/bundle.py` to a folder and the text that goes with it."""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.rulesets import FOLDERS
from unscheduled.benchmark.text import printable
from unscheduled.benchmark.write import whole
from unscheduled.bundle.bundle import bundle
from unscheduled.bundle.pull_request import (
    evidence,
    pull_request,
    submission_info,
    to_yaml,
)
from unscheduled.check.folder import INFO, SEARCH_SPACE
from unscheduled.check.sources import PROJECT, submission_file


def run(flags: Any, arguments: Sequence[str]) -> int:
    """Does what the flags ask for; the exit status, 1 for a mistake of the user's."""
    try:
        if len(arguments) != 1:
            raise UserError(
                "name one submission, such as submissions/nadamw_jax, "
                f"got {' '.join(arguments) or 'none'}."
            )
        folder, text = _run(flags, submission_file(arguments[0]).resolve())
    except (UserError, OSError, PackageNotFoundError) as error:
        print(f"bundle.py: {printable(error)}", file=sys.stderr)
        return 1
    print(
        f"{printable(folder)} goes under submissions/ of a fork of mlcommons/"
        "submissions_algorithms,\nas a pull request to its branch `evaluation`: its "
        f"title begins with [submission],\nits text is {printable(text)}."
    )
    return 0


def search_space_of(submission: Path) -> Path:
    """Where the search space of an entry is: beside it, or one for both frameworks."""
    own = submission.parent / SEARCH_SPACE
    algorithm = submission.parent.name.removesuffix("_pytorch").removesuffix("_jax")
    shared = PROJECT / "tuning_search_spaces" / f"{algorithm}.json"
    return own if own.exists() else shared


def _run(flags: Any, submission: Path) -> tuple[Path, Path]:
    missing = [f"--{n}" for n in ("authors", "affiliations") if not flags[n].value]
    if missing:
        raise UserError(
            f"{' and '.join(missing)} must say who sends the submission in, separated "
            "by commas; they are published with it."
        )
    entry = submission.parent.name
    info = submission_info(
        submission.parent,
        ruleset=flags.ruleset,
        name=flags.name or entry,
        authors=flags.authors,
        affiliations=flags.affiliations,
    )
    search_space = None
    if flags.ruleset == "external":
        given = flags.tuning_search_space
        search_space = expand(given) if given else search_space_of(submission)
    elif flags.tuning_search_space:
        raise UserError("--tuning_search_space is for --ruleset=external only.")
    files = bundle(submission, info["framework"], search_space)
    files[INFO] = to_yaml(info)
    proof = None
    if flags.evidence:
        proof = evidence(expand(flags.evidence), entry, flags.benchmark)
    place = f"{FOLDERS[flags.ruleset]}/{info['submission_folder']}"
    text = pull_request(info, flags.ruleset, files, proof)
    # Of a name of its own: several bundles may go to one folder.
    request = f"PULL_REQUEST_{place.replace('/', '_')}.md"
    out = expand(flags.out)
    write_whole(out, {place: files, request: text}, flags.overwrite)
    return out / place, out / request


def write_whole(
    out: Path, entries: Mapping[str, str | Mapping[str, str]], overwrite: bool = False
) -> None:
    """Writes files (texts) and folders (texts by path) below `out`, all or none.

    What else is there stays; overwriting a folder replaces it with all that is in it.
    """
    for path in (out / place for place in entries):
        is_empty = path.is_dir() and not any(path.iterdir())
        if path.exists() and not is_empty and not overwrite:
            raise UserError(
                f"{path} is there already: --overwrite replaces it, or choose another "
                "--out."
            )
    with contextlib.ExitStack() as stack:  # at whose end all get their names
        for place, content in entries.items():
            path = out / place
            path.parent.mkdir(parents=True, exist_ok=True)
            new = stack.enter_context(whole(path))
            files = {"": content} if isinstance(content, str) else content
            for name, text in files.items():
                file = new / name if name else new
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="\n")
