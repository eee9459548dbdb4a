"""Text from outside, safe to show: on one line in a terminal, as it is in Markdown."""

import re


def printable(value: object, limit: int | None = None) -> str:
    r"""A value's text on one line, with escapes for what does not print.

    Args:
      limit: the most characters; the rest becomes an ellipsis.

    Example:
      >>> print(printable("a\nb"), printable("\x1b[31m"), printable("abcdef", 4))
      a\nb \x1b[31m abc…
    """
    try:
        text = str(value)
    except (ValueError, RecursionError):  # too many digits, or lists in lists
        text = f"<{type(value).__name__}>"
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def fenced(text: str) -> str:
    r"""Lines of text as a Markdown block in which nothing is markup, nor ends it.

    Example:
      >>> print(fenced("a *b*\n```"))
      ````text
      a *b*
      ```
      ````
    """
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
