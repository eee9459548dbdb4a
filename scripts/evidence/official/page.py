"""Tables of docs/evidence/official_harness.md, from what grid.py found."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from scripts.evidence.pages import PAGES, fill_page
from unscheduled.benchmark.tables import markdown_table

Line = dict[str, Any]
PINNED_JAX = "0.7.0"
OLDER = "†"  # run before the last change to the code of its row
# The calls of one entry, in the order in which they are made.
STAGES = ("start", "step 1", "step 2", "prepare_for_eval 2", "evaluation")


def write(
    lines: Sequence[Line],
    rows: Sequence[tuple[str, str]],
    columns: Sequence[str],
    hashes: dict[tuple[str, str], str],
) -> None:
    """Writes the page from the newest line of each cell.

    A line of older code counts, marked, where there is none of the code as it is; but
    not if it failed.

    Args:
      lines: the results, oldest first.
      rows: (algorithm, framework) of each row.
      columns: the workloads.
      hashes: of the code of each row as it is now.
    """
    lines = [{**line, "older": _is_older(line, hashes)} for line in lines]
    lines = [line for line in lines if line["status"] == "ok" or not line["older"]]
    lines.sort(key=lambda line: not line["older"])  # stable: the oldest still first
    pinned = newest(line for line in lines if _is_pinned(line))
    today = newest(line for line in lines if not _is_pinned(line))
    blocks = {
        "versions": versions({"pinned": pinned, "newest": today}),
        "pinned": grid(pinned, rows, columns),
        "stages": stages(pinned, columns),
        "newest": grid(today, rows, columns),
    }
    print(f"{fill_page('official_harness', blocks, PAGES)} written.")


def _is_older(line: Line, hashes: dict[tuple[str, str], str]) -> bool:
    return line["code"] != hashes.get((line["algorithm"], line["framework"]))


def _is_pinned(line: Line) -> bool:
    return line["environment"]["jax"] == PINNED_JAX


def newest(lines: Iterable[Line]) -> dict[tuple[str, ...], Line]:
    """The last line of each (workload, framework, algorithm)."""
    return {
        (line["workload"], line["framework"], line["algorithm"]): line for line in lines
    }


def versions(environments: dict[str, dict]) -> str:
    """Which versions the lines of each environment were measured with."""
    rows = []
    for label, cells in environments.items():
        for found in _distinct(line["environment"] for line in cells.values()):
            rows.append((label, found))
    names = list(dict.fromkeys(name for _, found in rows for name in found))
    return markdown_table(
        ("", *names), [(label, *(found[n] for n in names)) for label, found in rows]
    )


def _distinct(items: Iterable[dict]) -> list[dict]:
    found: list[dict] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def grid(cells: dict, rows: Sequence[tuple[str, str]], columns: Sequence[str]) -> str:
    """A row for each entry of the frameworks that were run; what failed, below."""
    if not cells:
        return "Not run yet."
    notes: list[str] = []

    def cell(algorithm: str, framework: str, workload: str) -> str:
        line = cells.get((workload, framework, algorithm))
        if line is None:
            return "not run"
        if line["status"] == "ok":
            mark = OLDER if line["older"] else ""
            return f"ok{mark}, {sum(line['seconds'].values()):.1f} s"
        notes.append(f"{workload}, {framework}, {algorithm}: {line['error']}")
        return f"failed ({len(notes)})"

    frameworks = {framework for _, framework, _ in cells}
    body = [
        (_label(a, f), *(cell(a, f, workload) for workload in columns))
        for a, f in rows
        if f in frameworks
    ]
    text = markdown_table(("entry", *columns), body)
    return "\n\n".join(
        [text, *(f"({number}) {note}" for number, note in enumerate(notes, 1))]
    )


def _label(algorithm: str, framework: str) -> str:
    if algorithm == "upstream":
        return f"*upstream's nadamw, {framework}*"
    return f"{algorithm}_{framework}"


def stages(cells: dict, columns: Sequence[str]) -> str:
    """What takes how long: medians over our entries, set-up once a process."""
    body = []
    for workload in columns:
        for framework in ("pytorch", "jax"):
            lines = [
                line
                for (w, f, algorithm), line in cells.items()
                if (w, f) == (workload, framework)
                and algorithm != "upstream"
                and line["status"] == "ok"
            ]
            if lines:
                body.append((f"{workload}, {framework}", *_stage_row(lines)))
    header = ("seconds", "set-up", *STAGES, "tensors moved", "peak GiB")
    return markdown_table(header, body)


def _stage_row(lines: list[Line]) -> list[str]:
    moved = min(line["moved"] for line in lines)
    return [
        f"{statistics.median(line['set_up_seconds'] for line in lines):.1f}",
        *(
            f"{statistics.median(line['seconds'][stage] for line in lines):.2f}"
            for stage in STAGES
        ),
        f"{moved} of {lines[0]['parameters']}",
        f"{max(line['peak_gib'] for line in lines):.1f}",
    ]
