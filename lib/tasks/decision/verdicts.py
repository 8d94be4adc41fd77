r"""The decision in an answer: accept, reject, or unknown where it is not said plainly.

Of these forms the first that an answer has counts:

    boxed       \boxed{Accept}
    labelled    Decision: Accept                    behind one of LABELS
    leading     Accept.  Reject: lacks novelty.     a sentence that is the decision, or begins so
    free text   I would reject it.

Where several of one form differ, the answer is unknown. So it is where a negation (NEGATIONS) or a
condition (CONDITIONS) stands in the box or anywhere in the sentence of free text, and in the latter
also with a hedge (HEDGES), with a sentence that speaks of something else than this paper
(OTHER_USES), and where both decisions are mentioned in any form ("acceptance", "rejecting").
Questions decide nothing. To say unknown costs a row; to read "unlikely to be accepted" as accept is
a wrong number that nobody sees.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

DECISIONS = ("accept", "reject")

# Regular expressions of whole words, whatever their case.
NEGATIONS = (
    "not", r"\w*n['’]t", "(?:do|does|did|ca|wo|would|should|could|is|are|was|were|has|have|had)nt",
    "cannot", "never", "no", "none", "nobody", "nothing", "nowhere", "neither", "nor", "without",
    "false", "hardly", "barely", "scarcely", "rarely", "seldom", "little", "(?<!a )few", "less",
    "unlikely", "unable", "unwilling", "unworthy", "unfit", "unsuitable", "unready", "unsure",
    "unclear", "uncertain", "unconvinced", "undecided", "impossible", "improbable", "ineligible",
    "insufficient(?:ly)?", "inadequate(?:ly)?", "premature(?:ly)?", "far (?:from|below|short)",
    "short of", "f[ae]lls? short", "below", "beneath", "against", "refus(?:e|es|ed|ing|al)",
    "declin(?:e|es|ed|ing)", "den(?:y|ies|ied|ying)", "fail(?:s|ed|ing|ure)?",
    "lack(?:s|ed|ing)?", "miss(?:es|ed|ing)?", r"oppos\w+", "objects? to", r"avoid\w*",
    r"prevent\w*", r"preclud\w*", r"prohibit\w*", r"hesita\w+", r"reluctan\w+", r"doubt\w*",
    "dubious", r"s[ck]eptic\w*", r"disagree\w*", r"disput\w*", r"withh[eo]ld\w*", r"withdr[ae]w\w*",
    r"retract\w*", r"revok\w*", r"overturn\w*", r"regret\w*", "wrong to", "mistakes?",
    "hard to", "difficult to", "tough to", r"struggl\w+", "too", "rather than", "instead of",
    "other than", "anything but", "hold off", "stop short",
)  # fmt: skip
CONDITIONS = (
    "if", "unless", "until", "till", "once", "provided", "providing", "subject to", "pending",
    r"conditional\w*", r"contingent\w*", "assuming", "suppos(?:e|ing)", "as long as", "except",
    "otherwise", r"depend\w*", "whether", "only", "before", "in case", "were it", "had",
    "(?:would|could|might|should) have", "needs?", "needed", "requir(?:e|es|ed|ing)",
    r"(?:after|when|upon) (?:\w+ ){0,4}(?:revis|chang|correct|fix|improve|rewrit|rework)\w*",
)  # fmt: skip
HEDGES = (
    "maybe", "perhaps", "possibl[ey]", "probabl[ey]", "likely", "might", "may", "could",
    "borderline", r"lean\w*", r"inclin\w+", r"tempt\w+", "on the fence", "hop(?:e|es|ing)",
    "wish(?:es)?", "like to", "probability", "chances?", "odds", "likelihood",
)  # fmt: skip
OTHER_USES = (
    r"(?:\w+ly|well)[ -]accepted", r"hypothes[ei]s", "previously", "earlier", "already",
    "elsewhere", "accepted (?:practices?|benchmarks?|definitions?|standards?|wisdom|facts?)",
)  # fmt: skip
LABELS = (
    "decision", "verdict", "recommendation", "answer", "outcome", "judge?ment", "conclusion",
    "rating", "status", "result", "assessment",
)  # fmt: skip


def _words(*tables: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = "|".join(word for table in tables for word in table)
    return re.compile(rf"(?<![\w'’])(?:{alternatives})(?!\w)", re.I)


_NEGATED = _words(NEGATIONS)
_CONDITIONAL = _words(CONDITIONS)
_QUALIFIED = _words(NEGATIONS, CONDITIONS, OTHER_USES)
_HEDGED = _words(HEDGES)
# "Accept: no", "Accept - not warranted"; "Reject: not novel" is a reason.
_TAKEN_BACK = re.compile(
    r"(?:no|never|false|none|not(?: yet)?(?: warranted| justified| recommended| possible| an option"
    r"| appropriate| advis\w+| merited| deserved)?)\W*", re.I,
)  # fmt: skip

_NAMED = re.compile(r"(?<![a-z])(accept|reject)(?:ed)?(?![a-z])", re.I)
_MENTIONED = re.compile(r"(accept|reject)", re.I)
_DENIED = re.compile(r"(?:un|non)-?(?:accept|reject)", re.I)  # unacceptable

_OPENING, _CLOSING = (
    r"[\s*_#>`$\"'“‘({\[-]*",
    r"[\s*_`$\"'”’)}\]]*",
)  # what markup puts around words
# The decision at the beginning, and behind it nothing, or what sets a reason off.
_LEADING = re.compile(
    rf"{_OPENING}(?:(?:strong|weak|clear|desk|borderline)\s+)?(accept|reject)(?:ed)?{_CLOSING}"
    r"(?:$|[.!,;:(\u2013\u2014-]|(?=(?:because|since|as|due)\b))",
    re.I,
)
_LABELLED = re.compile(
    r"\b(?:decision|verdict|recommendation|answer)\W*?\bis\b(?: to)?"
    rf"(?={_OPENING}(?:accept|reject))"
    rf"|\b(?:{'|'.join(LABELS)})[\s*_`\"'”]*(?:[:=]|->|→)"
    rf"|^[\s*_#]*(?:final\s+)?(?:{'|'.join(LABELS)})[\s*_#]*\n",
    re.I | re.M,
)
_ABBREVIATED = r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\bcf)(?<!\bal)(?<!\betc)"
# A line that goes on in lower case is a wrapped one.
_END = re.compile(
    rf"(?<=[!?]){_CLOSING}\s+|(?<=[!?])(?=[\"”’)\]*_]*\s)|{_ABBREVIATED}\.{_CLOSING}\s+(?=[^a-z\s])"
    r"|\n\s*\n|\n\s*(?=[^a-z\s])"
)


@lru_cache(maxsize=4096)  # most answers are one of a few
def verdict(text: str) -> str:
    """accept, reject or unknown, see above."""
    text = unicodedata.normalize("NFKC", text)
    if boxes := _boxes(text):
        return _one(map(_stated, boxes))
    text = text.replace("\\", " ")
    behind = (text[found.end() :].split("\n")[0] for found in _LABELLED.finditer(text))
    labelled = [_stated(_sentences(line)[0]) for line in behind]
    if any(labelled):
        return _one(labelled)
    sentences = [one for one in _sentences(text) if not re.search(rf"\?{_CLOSING}$", one)]
    leading = [one for one in sentences if _LEADING.match(one)]
    if leading:
        rest = [one for one in sentences if one not in leading and _NAMED.search(one)]
        return _one([*map(_stated, leading), *map(_unless_denied, rest)])
    if not any(map(_NAMED.search, sentences)):
        return "unknown"
    return _one(map(_mentioned, sentences))


def _one(named: object) -> str:
    """The one decision that sets of decisions hold together, else unknown."""
    together = set().union(*named)
    return together.pop() if len(together) == 1 else "unknown"


def _stated(text: str) -> set[str]:
    """The decisions that a box, a label or a leading sentence names; both where it is qualified.

    Behind a decision that leads, only a condition or an outright no takes it back: what follows
    gives the reasons.
    """
    named, spoken = {found.lower() for found in _NAMED.findall(text)}, _spoken(text)
    if led := _LEADING.match(text):
        reasons = _spoken(text[led.end() :])
        taken_back = _CONDITIONAL.search(reasons) or _TAKEN_BACK.fullmatch(reasons)
    else:
        taken_back = _unsure(spoken) or spoken.endswith("?")
    return set(DECISIONS) if named and taken_back else named


def _unless_denied(text: str) -> set[str]:
    """The decisions that a sentence names beside a leading one; both where it is a negation."""
    named = {found.lower() for found in _NAMED.findall(text)}
    return set(DECISIONS) if _NEGATED.search(_spoken(text)) else named


def _mentioned(text: str) -> set[str]:
    """The decisions that a sentence mentions in any form; both where they are not plainly meant."""
    mentioned, spoken = {found.lower() for found in _MENTIONED.findall(text)}, _spoken(text)
    return set(DECISIONS) if mentioned and _unsure(spoken) else mentioned


def _unsure(spoken: str) -> bool:
    return any(table.search(spoken) for table in (_QUALIFIED, _HEDGED, _DENIED))


def _spoken(text: str) -> str:
    """A text without markup, words apart by one space."""
    return " ".join(re.sub(r"[*_`{}()\\]", " ", text).split())


def _sentences(text: str) -> list[str]:
    return [one for one in _END.split(text) if one] or [""]


def _boxes(text: str) -> list[str]:
    r"""Contents of every `\boxed{…}`; braces inside may nest, and one may be cut off at its end."""
    contents = []
    for opened in re.finditer(r"\\(?:boxed|fbox)\s*\{", text):
        depth, end = 1, opened.end()
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        inside = text[opened.end() : end - 1] if not depth else text[opened.end() :].split("\n")[0]
        contents.append(inside)
    return contents
