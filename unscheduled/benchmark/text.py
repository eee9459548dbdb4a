"""Text from outside, made safe to show."""


def printable(text: object) -> str:
    r"""`text` on one line: what does not print is written as an escape.

    For names and facts from files before they go to a terminal, a page or a log, where
    line ends and control bytes would pass for ours.

    >>> print(printable("a\nb"))
    a\nb
    """
    return "".join(c if c.isprintable() else _escape(c) for c in str(text))


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
