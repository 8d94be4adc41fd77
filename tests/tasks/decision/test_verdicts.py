"""Which texts say accept, which reject, and which neither plainly."""

import pytest

from lib.tasks.decision.grading import grade
from lib.tasks.decision.verdicts import verdict

ACCEPT = (
    # boxed, whatever else is said
    r"\boxed{Accept}", r"\boxed {\text{Accept}}", r"\boxed{\textbf{Accept}}", "\\boxed{\nAccept\n}",
    r"I'd reject parts of it, but \boxed{Accept}.", r"\boxed{Accept} … \boxed{accepted}",
    r"\boxed{Accept", r"\boxed{Accept (oral)}", r"\boxed{Weak Accept}", r"\fbox{Accept}",
    r"It is not perfect. $\boxed{\mathrm{Accept}}$",
    # labelled
    "Decision: Accept", "**Decision:** Accept", "Final decision: **Accept** (poster)",
    "Decision: Accept. The paper is not perfect.", "Decision: Accept, although it is not flawless",
    "## Decision\nAccept", "The answer is Accept.", "I can't see a flaw. Verdict: accept",
    # leading
    "Accept", "_accept_", "ＡＣＣＥＰＴ", '"Accept"', "It is not bad. Accept.",
    "This is a strong paper.\nAccept", "- not novel\n- weak\nAccept",
    "Accept: the results are not trivial.", "Accept because there is no flaw",
    "Accept.\nI am not sure why others complain.",
    # free text
    "I accept. Yes, accepted!", "I would accept it.", "The paper should be accepted.",
    "I recommend that this paper be accepted", "Is it novel? Yes. I accept it.",
)  # fmt: skip
REJECT = (
    r"\boxed{ REJECTED }", r"\boxed{\mathbf{\text{Reject}}}", r"Score \boxed{7}, so \boxed{Reject}",
    "**Rejected**", "I would reject it.", "Reject: lacks novelty", "Reject: not novel enough",
    "Reject - no novelty", "Reject. The paper does not meet the standard for acceptance.",
    "Decision: Reject", "Recommendation: Strong reject", "The paper must be rejected.",
    "Should this paper be accepted? Reject.",
)  # fmt: skip
UNKNOWN = (
    "", r"\boxed{}", "Decision:", "acceptable, unacceptable, rejection, acceptance",
    # both
    r"\boxed{Accept} or \boxed{Reject}", r"\boxed{Accept or Reject}", r"\boxed{Reject/Accept}",
    "Decision: Accept / Reject", "Decision: Accept. Final decision: Reject", "Accept or reject?",
    "I recommend rejection, although the premise is accepted", "Accept: 0.3, Reject: 0.7",
    "Accept. On reflection, I reject it.",
    # negated
    r"\boxed{Not accept}", r"\boxed{do not \textbf{accept}}", r"\boxed{Unlikely to be accepted}",
    "Decision: not accept", "The decision isn't accept", "Accept: no", "Accept - not warranted",
    "accept is not warranted", "accept=false", "I do not accept this.", "I don’t reject it",
    "do **not** accept", "wont be accepted", "can not accept", "It won't, I fear, be accepted",
    "does not meet the bar to be accepted", "unlikely to be accepted", "I refuse to accept",
    "I can't recommend acceptance", "far from acceptance", "far from being accepted",
    "hardly acceptable", "hardly to be accepted", "neither accept nor reject", "never accept",
    "Neither of us would accept it", "too weak to be accepted", "falls short of being accepted",
    "I do not think, given the flaws, that this should be accepted", "I hesitate to accept it",
    "This paper should not be\naccepted", "is not, e.g. for lack of novelty, to be accepted",
    "There is no reason to accept it", "It would be wrong to accept", "rather than accept, revise",
    "Accept. Actually it should not be accepted.", "I'd argue against accept",
    # conditions and hedges
    "I would accept if the experiments were extended", "Accept unless it is flawed",
    r"\boxed{Accept if revised}", "Decision: Accept if revised", "It would have been accepted",
    "accept after major revision", "the paper needs work to be accepted", "only if accepted",
    "Decision: maybe accept", "I might accept it", "maybe accept",
    "likely to be accepted", "I am leaning towards accept",
    "Accept probability: 10%",
    # questions, and something else than the paper
    "Should this paper be accepted?", "Should this paper be accepted? No.", "Accept? No.",
    "The null hypothesis is rejected.", "It uses widely accepted benchmarks",
    "Previously rejected from ICML", "The result is accepted by all. I reject.",
    r"I would accept: \boxed{7}",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (text, said)
        for said, texts in (("accept", ACCEPT), ("reject", REJECT), ("unknown", UNKNOWN))
        for text in texts
    ],
)
def test_verdict(text, expected):
    assert verdict(text) == expected
    assert grade({}, {"outputs": [text]})["prediction"] == expected
