"""From the flags of `scripts/bundle.py` to a folder and the text that goes with it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.submit.bundle import bundle
from unscheduled.submit.evidence import evidence
from unscheduled.submit.info import FILE_NAME, FOLDERS, read_info, sent_in
from unscheduled.submit.pull_request import pull_request
from unscheduled.submit.sources import PROJECT, submission_file
from unscheduled.submit.write import write_whole

PULL_REQUEST = "PULL_REQUEST.md"


def run(flags: Any, arguments: Sequence[str]) -> int:
    """Does what the flags ask for; returns the exit status.

    A mistake of the user's is one sentence on standard error and status 1.
    """
    try:
        if len(arguments) != 1:
            raise UserError(
                "name one submission, such as submissions/nadamw_jax, "
                f"got {' '.join(arguments) or 'none'}."
            )
        folder = _run(flags, submission_file(arguments[0]).resolve())
    except (UserError, OSError, UnicodeDecodeError) as error:
        print(f"bundle.py: {error}", file=sys.stderr)
        return 1
    print(
        f"{folder} goes under submissions/ of a fork of mlcommons/"
        "submissions_algorithms,\nas a pull request to its branch `evaluation`: its "
        f"title begins with [submission],\nits text is {folder.parents[1]}/"
        f"{PULL_REQUEST}."
    )
    return 0


def search_space_of(submission: Path) -> Path:
    """Where the search space of an entry is: one serves both frameworks."""
    algorithm = submission.parent.name.removesuffix("_pytorch").removesuffix("_jax")
    return PROJECT / "tuning_search_spaces" / f"{algorithm}.json"


def _run(flags: Any, submission: Path) -> Path:
    missing = [f"--{n}" for n in ("authors", "affiliations") if not flags[n].value]
    if missing:
        raise UserError(
            f"{' and '.join(missing)} must say who sends the submission in, separated "
            "by commas; they are published with it."
        )
    entry = submission.parent.name
    info = sent_in(
        read_info(submission.with_name(FILE_NAME)),
        ruleset=flags.ruleset,
        folder=flags.name or entry,
        authors=flags.authors,
        affiliations=flags.affiliations,
    )
    search_space = None
    if flags.ruleset == "external":
        given = flags.tuning_search_space
        search_space = Path(given) if given else search_space_of(submission)
    elif flags.tuning_search_space:
        raise UserError("--tuning_search_space is for --ruleset=external only.")
    files = bundle(submission, info.framework, search_space)
    files[FILE_NAME] = info.to_yaml()
    proof = None
    if flags.evidence:
        proof = evidence(Path(flags.evidence), entry, flags.benchmark)
    place = f"{FOLDERS[flags.ruleset]}/{info.submission_folder}"
    text = pull_request(info, flags.ruleset, files, proof)
    out = Path(flags.out).expanduser()
    write_whole(out, {place: files, PULL_REQUEST: text}, flags.overwrite)
    return out / place
