r"""Numbers as people and LaTeX typeset them, in plain ASCII: `−1 234` and `1{,}234` alike.

What can be read in one way only is rewritten:

    digits        of any script, full-width and mathematical ones too → 0 … 9
    minus         −, en and em dash, hyphens; directly before a number and not between two → -
    thousands     1{,}234  1\,234  1,\!234  1\;234, thin and no-break spaces, 1'234, 1_234 → 1234;
                  10 000 and 10~000, since no number begins with 000
    currency      -€5, -\$5 → -$5

What can be read in two ways is left so that it is found and is no number (`AMBIGUOUS`, `±`):

    1 234   1~234         a thousand, or two numbers, or a range
    1.234,5 1 234,5 3{,}5 a decimal comma, or the end of a list
    12\,34  1.2.3         no groups of three
    10²  2½  3万          more than its digits; whoever reads these alone reads another number
    3 –5  x}−5  is − 5    a sign, or a dash

A comma between other groups than of three separates two numbers, as in lm-evaluation-harness's
reading of lists. Ordinary ASCII text without these marks stays as it is.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

THIN, NO_BREAK = "\u2009", "\u00a0"  # what other spaces within numbers are rewritten as
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\u02d7\u2796"
PAUSES = "\u2013\u2014\u2015\ufe58"  # of them those that are punctuation as often as a sign
# Characters whose compatibility form is the same number: superscripts and fractions are not.
VARIANTS = ("<wide>", "<narrow>", "<small>", "<font>")
FOLDED = {
    **dict.fromkeys("\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f", THIN),
    **dict.fromkeys("\u2000\u2001\u2002\u2003\u2061\u2062\u2063\u2064", " "),
    **dict.fromkeys("\u2018\u2019\u02bc\u2032", "'"),
    **{"\u066b": ".", "\u066c": ",", "\u2026": "...", "\u2215": "/", "\u2044": "/"},
}
# Behind digits they say that the number is more than these.
ATTACHED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞百千万萬亿億兆"
FRACTIONS = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"

LATEX = [
    (re.compile(r"\\\$"), "$"),
    (re.compile(r"\\pm(?![a-zA-Z])\s*"), "±"),
    (re.compile(r"(?<=\d)(?:\\(?:text|mathrm|mathord|mbox))?\{\s*(?:,|\\[,!;:])\s*\}(?=\d)"), THIN),
    (re.compile(r"\\[,!;:>]|\\thinspace(?![a-zA-Z]) ?"), THIN),
    (re.compile(rf"(?<=\d),?{THIN}+(?=\d)"), THIN),
    (re.compile(rf"±[{THIN}{NO_BREAK} ]+(?=[$.\d])"), "±"),
]
_TAIL = r"(?:\.\d+)?(?![.,]?\d)"  # decimals, and nothing more that might belong to the number
GROUPED = re.compile(rf"(?<![\w.,'])\d{{1,3}}([{THIN}{NO_BREAK}'_])\d{{3}}(?:\1\d{{3}})*"
                     rf"(?!\1\d){_TAIL}")  # fmt: skip
SPACED = re.compile(rf"(?<![\w.,])\d{{1,3}}([ ~])\d{{3}}(?:\1\d{{3}})*(?!\1\d{{3}}){_TAIL}")
AMBIGUOUS = (
    rf"(?:\d+(?:[.,]\d+)*{THIN}\d+(?:[.,{THIN}]\d+)*"
    rf"|(?<![\w.,])\d{{1,3}}(?:[ ~']\d{{3}})+(?!\d)(?:[.,]\d+)*"
    r"|\d{1,3}(?:\.\d{3})+,\d+|\d+(?:\.\d+){2,})"
)
_DASH = re.compile(rf"(?:[{DASHES}][{THIN}{NO_BREAK} ]*|-[{THIN}{NO_BREAK}]+)(?=\$?\.?\d)")


def plain(text: str) -> str:
    """A text with the numbers in it in ASCII, see above; a second time, nothing changes."""
    if not text.isascii():
        text = "".join(map(_folded, text))
        text = re.sub(rf"(?<![\d$])€ ?(?=[-.{DASHES}]?\d)", "$", text)
    if "\\" in text or "{" in text or "±" in text:
        for pattern, replacement in LATEX:
            text = pattern.sub(replacement, text)
    text = _DASH.sub(_signed, text)
    text = GROUPED.sub(_joined, text)
    # Where a later group begins with 0, the first is no number of its own.
    text = SPACED.sub(lambda run: _joined(run) if re.search("[ ~]0", run[0]) else run[0], text)
    return re.sub(rf"{NO_BREAK}|(?<!\d){THIN}|{THIN}(?!\d)", " ", text)


def _joined(run: re.Match[str]) -> str:
    """Groups of digits without what stands between them."""
    return re.sub(r"[^\d.]", "", run[0])


@lru_cache(maxsize=4096)
def _folded(one: str) -> str:
    """A character as the ASCII that it stands for in a number, or as it is."""
    if one in FOLDED:
        return FOLDED[one]
    if one.isdecimal():
        return str(unicodedata.decimal(one))
    kind = unicodedata.category(one)
    if kind == "Cf":  # zero-width characters and marks of direction
        return ""
    if unicodedata.decomposition(one).startswith(VARIANTS):
        return unicodedata.normalize("NFKC", one)
    return "€" if kind == "Sc" and one != "$" else one


def _signed(dash: re.Match[str]) -> str:
    """What a dash before a number is: `-` its sign, `- ` something between, `±` either."""
    before = dash.string[: dash.start()]
    nearest = before.rstrip(f"{THIN}{NO_BREAK} ")
    last, attached = nearest[-1:], nearest == before
    pause, spaced = dash[0][0] in PAUSES, len(dash[0]) > 1
    term = last.isalnum() or last in tuple(")]%°_€")  # something that can be subtracted from
    if attached and (term or re.search(r"\d['\"$]$", nearest)):
        return "- "
    if last == "}":
        return "±" if attached or not spaced else "- "
    if not spaced:
        return "±" if pause and last.isdecimal() else "-"
    if last.isdecimal() or last in tuple(")]%°"):
        return "- "
    if pause:  # a bullet or a pause, unless a formula stands before it
        return "-" if last in tuple("=≈<>≤≥(") else "±" if last in tuple(":#$") else "- "
    return "±" if term else "-"
