"""What two questions share that ask the same: all that is not typography."""

from __future__ import annotations

import re
import unicodedata

# Numbers with their separators, words with their apostrophes, and every other sign by itself.
TOKEN = re.compile(r"\d+(?:[.,]\d+)+|(?<!\w)\.\d+|\w+(?:'\w+)*|[^\w\s]")
WORD = re.compile(r"[^\W\d_]{2,}(?:'[^\W\d_]+)*|[^\W\d_]+(?:'[^\W\d_]+)+")
# Between spaces and before a word it is a dash; before a function or a variable, a minus.
DASH = re.compile(r"\s-\s+(?=[^\W\d_]{4})")
# Signs that are punctuation behind a word, and those that are so before one, too. Elsewhere they
# mean something: 5!, 3 : 2, f', 6", .5.
PUNCTUATION = frozenset(".,;:!?\"'\u2014")
BEFORE = frozenset(".,;:\u2014")
QUOTES = frozenset("\"'")
# One sign in several spellings: minus, apostrophe, quotation mark.
SPELLINGS = str.maketrans(
    dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\ufe63\uff0d", "-")
    | dict.fromkeys("\u2018\u2019\u02bc", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
)


def question_key(question: str) -> str:
    """Equal for two questions that differ in spacing, case of words or punctuation alone.

    Operators, signs, decimal points, comparisons, brackets, units, exponents and all other symbols
    are kept, and so is the case of a single letter, of a unit such as mW and of other words in
    mixed case: they change what is asked.
    """
    text = unicodedata.normalize("NFC", question)
    if not text.isascii():
        text = "".join(c for c in text if unicodedata.category(c) != "Cf")  # zero-width marks
        text = text.translate(SPELLINGS)
    tokens = TOKEN.findall(DASH.sub(" ", text))
    while tokens and tokens[-1] in (".", "?"):
        tokens.pop()
    kept = [
        _folded(token, _at(tokens, i + 1))
        for i, token in enumerate(tokens)
        if not _is_punctuation(token, _at(tokens, i - 1), _at(tokens, i + 1))
    ]
    return " ".join(kept)


def _is_punctuation(token: str, before: str, behind: str) -> bool:
    if token not in PUNCTUATION:
        return False
    opens = token in QUOTES and not before[:1].isalnum()
    return bool(WORD.fullmatch(before)) or (
        (token in BEFORE or opens) and bool(WORD.fullmatch(behind))
    )


def _at(tokens: list[str], place: int) -> str:
    return tokens[place] if 0 <= place < len(tokens) else ""


def _folded(token: str, following: str) -> str:
    """A word in lower case; A and I only where a word follows: else they may be variables."""
    if not token[:1].isalpha() or (len(token) == 1 and not WORD.fullmatch(following)):
        return token
    if len(token) == 1 and token not in "AIai":
        return token
    plain = token in (token.lower(), token.upper(), token.capitalize(), token.title())
    return token.casefold() if plain else token
