"""From the flags of `scripts/bundle.py` to a folder and the text that goes with it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.read import expand
from unscheduled.benchmark.rulesets import FOLDERS
from unscheduled.benchmark.text import printable
from unscheduled.bundle.bundle import bundle
from unscheduled.bundle.evidence import evidence
from unscheduled.bundle.pull_request import pull_request
from unscheduled.bundle.write import write_whole
from unscheduled.check.info import FILE_NAME, read_info, sent_in
from unscheduled.check.package import SEARCH_SPACE
from unscheduled.check.sources import PROJECT, own_file, submission_file


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
        folder, text = _run(flags, submission_file(arguments[0]).resolve())
    except (UserError, OSError) as error:
        print(f"bundle.py: {printable(error)}", file=sys.stderr)
        return 1
    print(
        f"{printable(folder)} goes under submissions/ of a fork of mlcommons/"
        "submissions_algorithms,\nas a pull request to its branch `evaluation`: its "
        f"title begins with [submission],\nits text is {printable(text)}."
    )
    return 0


def search_space_of(submission: Path) -> Path:
    """Where the search space of an entry is, if not beside it.

    In this project one serves both frameworks.
    """
    if own := own_file(submission.parent, SEARCH_SPACE):
        return own
    algorithm = submission.parent.name.removesuffix("_pytorch").removesuffix("_jax")
    return PROJECT / "tuning_search_spaces" / f"{algorithm}.json"


def _run(flags: Any, submission: Path) -> tuple[Path, Path]:
    """The folder that it writes, and the file with the text of the pull request."""
    missing = [f"--{n}" for n in ("authors", "affiliations") if not flags[n].value]
    if missing:
        raise UserError(
            f"{' and '.join(missing)} must say who sends the submission in, separated "
            "by commas; they are published with it."
        )
    entry = submission.parent.name
    info = sent_in(
        read_info(submission.parent),
        ruleset=flags.ruleset,
        folder=flags.name or entry,
        authors=flags.authors,
        affiliations=flags.affiliations,
    )
    search_space = None
    if flags.ruleset == "external":
        given = flags.tuning_search_space
        search_space = expand(given) if given else search_space_of(submission)
    elif flags.tuning_search_space:
        raise UserError("--tuning_search_space is for --ruleset=external only.")
    files = bundle(submission, info.framework, search_space)
    files[FILE_NAME] = info.to_yaml()
    proof = None
    if flags.evidence:
        proof = evidence(expand(flags.evidence), entry, flags.benchmark)
    place = f"{FOLDERS[flags.ruleset]}/{info.submission_folder}"
    text = pull_request(info, flags.ruleset, files, proof)
    # Of a name of its own: several bundles may go to one folder.
    request = f"PULL_REQUEST_{place.replace('/', '_')}.md"
    out = expand(flags.out)
    write_whole(out, {place: files, request: text}, flags.overwrite)
    return out / place, out / request
