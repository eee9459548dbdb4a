"""Text from outside, safe to show: on one line in a terminal, as it is in Markdown."""

import re


def printable(value: object, limit: int | None = None) -> str:
    """A value's text on one line, within the limit, what does not print escaped."""
    try:
        text = str(value)
    except (ValueError, RecursionError):  # too many digits, or lists in lists
        text = f"<{type(value).__name__}>"
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def fenced(text: str) -> str:
    """Lines of text as a Markdown block in which nothing is markup, nor ends it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
