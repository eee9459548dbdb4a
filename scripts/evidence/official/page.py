"""Tables of docs/evidence/official_harness.md, from what grid.py found."""

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.evidence.pages import publish
from unscheduled.benchmark.tables import markdown_table

Line = dict[str, Any]
Cells = dict[tuple[str, str, str], Line]  # by workload, framework and algorithm
PINNED_JAX = "0.7.0"
OLDER = "†"  # run before the last change to the code of its row


def write(
    lines: Sequence[Line],
    rows: Sequence[tuple[str, str]],
    columns: Sequence[str],
    hashes: Mapping[tuple[str, str], str],
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
    environments: dict[str, Cells] = {"pinned": {}, "newest": {}}
    current, older = [], []
    for line in lines:
        is_older = line["code"] != hashes.get((line["algorithm"], line["framework"]))
        (older if is_older else current).append({**line, "older": is_older})
    for line in (*(line for line in older if line["status"] == "ok"), *current):
        pinned = line["environment"]["jax"] == PINNED_JAX
        cells = environments["pinned" if pinned else "newest"]
        cells[line["workload"], line["framework"], line["algorithm"]] = line
    blocks = {
        "versions": versions(environments),
        "pinned": grid(environments["pinned"], rows, columns),
        "newest": grid(environments["newest"], rows, columns),
    }
    publish("official_harness", blocks)


def versions(environments: Mapping[str, Cells]) -> str:
    """Which versions the lines of each environment were measured with."""
    rows: list[list[str]] = []
    names: list[str] = []
    for label, cells in environments.items():
        for line in cells.values():
            names = [*line["environment"]]
            row = [label, *line["environment"].values()]
            if row not in rows:
                rows.append(row)
    return markdown_table(["", *names], rows)


def grid(cells: Cells, rows: Sequence[tuple[str, str]], columns: Sequence[str]) -> str:
    """A row for each entry of the frameworks that were run; what failed, below."""
    if not cells:
        return "Not run yet."
    notes: list[str] = []
    body = []
    for algorithm, framework in rows:
        if framework not in {framework for _, framework, _ in cells}:
            continue
        row = [f"{algorithm}_{framework}"]
        if algorithm == "upstream":
            row = [f"*upstream's nadamw, {framework}*"]
        for workload in columns:
            line = cells.get((workload, framework, algorithm))
            if line is None:
                row.append("not run")
            elif line["status"] == "ok":
                mark = OLDER if line["older"] else ""
                row.append(f"ok{mark}, {line['seconds']:.1f} s")
            else:
                notes.append(f"{workload}, {framework}, {algorithm}: {line['error']}")
                row.append(f"failed ({len(notes)})")
        body.append(row)
    table = markdown_table(("entry", *columns), body)
    numbered = (f"({number}) {note}" for number, note in enumerate(notes, start=1))
    return "\n\n".join((table, *numbered))
