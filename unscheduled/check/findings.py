"""What the check says: a code, a place, a sentence, and the official rule behind it."""

import dataclasses
import os
import tomllib
from pathlib import Path
from typing import Any

from unscheduled.benchmark.text import printable

SEVERITIES = {"E": "error", "W": "warning", "N": "note"}
_LONGEST = 1000  # characters of a message


def _read(name: str) -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_name(name).read_text())


RULES, ALGOPERF = _read("rules.toml"), _read("algoperf.toml")


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One thing to know about a submission; `code` is one of `RULES`."""

    path: str
    line: int
    code: str
    message: str

    @property
    def severity(self) -> str:
        return SEVERITIES[self.code[0]]

    def __str__(self) -> str:
        facts = self.as_json()
        return (
            f"{shown(self.path)}:{self.line}: {self.code} "
            f'{self.message} ({facts["document"]}, "{facts["section"]}")'
        )

    def as_json(self) -> dict[str, Any]:
        rule = RULES[self.code]
        return {
            **dataclasses.asdict(self),
            "severity": self.severity,
            "document": rule.get("document", "DOCUMENTATION.md"),
            "section": rule["section"],
        }


def finding(path: str | Path, line: int, code: str, *facts: object) -> Finding:
    """A finding with the rule's message about these facts."""
    message = RULES[code]["message"].format(*facts)
    return Finding(str(path), line, code, printable(message, _LONGEST))


def shown(path: str | Path) -> str:
    """A path as a user would type it: from the current folder, where it is below."""
    relative = os.path.relpath(path)
    return printable(path if relative.startswith(os.pardir) else relative)
