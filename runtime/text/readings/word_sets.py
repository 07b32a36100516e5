"""Lists of words as they are written down: one string, a space between two."""

from __future__ import annotations


def words(listed: str) -> frozenset[str]:
    """The words of a list, in the case that `str.casefold` gives them."""
    return frozenset(listed.casefold().split())
