"""What a person typed to find something, as a pattern: /regex/ between slashes, else the text as it stands.

Never raises: what is no regular expression is searched for as it was typed.
"""

from __future__ import annotations

import re


def pattern_of(text: str) -> re.Pattern[str] | None:
    """What to search for, None for nothing; case counts only where the text has capitals."""
    if not text:
        return None
    flags = re.IGNORECASE if text == text.lower() else re.NOFLAG
    inner = regex_in(text)
    if inner:
        try:
            return re.compile(inner, flags)
        except (re.error, OverflowError, RecursionError):
            pass
    return re.compile(re.escape(text), flags)


def regex_in(text: str) -> str:
    """The regular expression between slashes; empty where the text is none."""
    return text[1:-1] if len(text) > 2 and text.startswith("/") and text.endswith("/") else ""
