"""What n of N samples a question buy: majority, best of n, weighted vote, pass@n. Pure numpy.

    classes(answers)                  (Q, N) which samples of a question say the same
    majority(codes, right, n)         (Q,) share of the C(N, n) subsets whose majority is right
    best(right, rewards, n)           (Q,) the same of the sample with the highest reward
    weighted(codes, right, rewards, members)  (Q,) of a vote weighted by rewards
    passed(right, n)                  (Q,) share of subsets that hold a right sample: the ceiling

Q questions, N samples each, in the order in which they were drawn. The estimate from the first n
samples alone is the same function on the first n columns, since n of n is one subset:
`majority(codes[:, :n], right[:, :n], n)`.

Ties are settled by a fair coin and given in expectation. Over all subsets that is also what the
rule "first seen wins" gives on average over all orders of the samples: in a random order each of
the tied answers is as likely to stand first. So with every answer parsed, two votes are worth as
much as one. `majority_place` and `best_place` settle a tie by first seen, and name a sample.

A sample that the reward model could not read has the reward −inf: it cannot be chosen, as an answer
that could not be parsed cannot vote. Where nothing can be chosen, nothing right is.

All values are probabilities in [0, 1]. Binomials are whole numbers, divided once; the sums have no
negative term, so that nothing cancels. N may be at most MOST_SAMPLES, where C(N, n) still fits a
double. ValueError names the argument whose shape or values are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

MOST_SAMPLES = 1000
ENUMERATED = 20_000  # subsets up to which `subsets` lists them all
TIE = 1e-9  # relative difference up to which two sums of weights are one number
FAINTEST = -600.0  # of a reward below the question's highest: e^-600 is near the smallest double


def classes(answers: Sequence[Sequence[str | None]]) -> np.ndarray:
    """(Q, N) int: equal answers of a question have one number, by first appearance; −1: None.

    answers: parsed answers, Q lists of N, of which equal texts are equal answers. None (nothing
    could be parsed) never votes.
    """
    if len({len(row) for row in answers}) > 1:
        raise ValueError(
            f"answers: {sorted({len(row) for row in answers})} samples, expected one N"
        )
    found = np.full((len(answers), len(answers[0]) if answers else 0), -1)
    for row, said in zip(found, answers, strict=True):
        seen: dict[str, int] = {}
        row[:] = [-1 if one is None else seen.setdefault(one, len(seen)) for one in said]
    return found


def unique(codes: np.ndarray) -> np.ndarray:
    """(Q,) how many different parsed answers the samples of a question give. codes: (Q, N)."""
    return codes.max(axis=1, initial=-1) + 1


def passed(right: np.ndarray, n: int) -> np.ndarray:
    """(Q,) share of the subsets of n samples with at least one that is right: pass@n.

    right: (Q, N) bool. 1 − C(N − c, n)/C(N, n) for c right samples, from whole numbers.
    Source: Chen et al., arXiv 2107.03374, eq. 1.
    """
    right = _matrix("right", right)
    samples = _samples(right, n)
    total = math.comb(samples, n)
    table = [(total - math.comb(samples - c, n)) / total for c in range(samples + 1)]
    return np.array(table)[right.sum(axis=1)]


def best(right: np.ndarray, rewards: np.ndarray, n: int) -> np.ndarray:
    """(Q,) share of the subsets of n samples whose highest reward is that of a right sample.

    right: (Q, N) bool; rewards: (Q, N). The sample of rank i, rewards ascending, is the best of
    C(i − 1, n − 1) subsets. Samples with one reward share the subsets that the group decides.
    """
    right, rewards = _matrix("right", right), _rewards(rewards, np.shape(right))
    samples = _samples(right, n)
    right = right & np.isfinite(rewards)
    order = np.argsort(rewards, axis=1, kind="stable")
    ranked, right = (np.take_along_axis(a, order, axis=1) for a in (rewards, right))
    # How many rewards lie below each one, and how many do not lie above it.
    place, edge = np.arange(samples), np.ones((len(right), 1), dtype=bool)
    rises = ranked[:, 1:] != ranked[:, :-1]
    below = np.maximum.accumulate(np.where(np.hstack([edge, rises]), place, 0), axis=1)
    last = np.where(np.hstack([rises, edge]), place + 1, samples)
    up_to = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    pairs, which = np.unique(below * (samples + 1) + up_to, return_inverse=True)
    total, shares = math.comb(samples, n), []
    for low, high in (divmod(int(pair), samples + 1) for pair in pairs):
        shares.append((math.comb(high, n) - math.comb(low, n)) / (total * (high - low)))
    return (np.array(shares)[which.reshape(right.shape)] * right).sum(axis=1)


def majority(codes: np.ndarray, right: np.ndarray, n: int) -> np.ndarray:
    """(Q,) chance that the most frequent answer of a random subset of n samples is right.

    codes: (Q, N) from `classes`; right: (Q, N) bool. Of k tied answers each wins with 1/k; a subset
    without a parsed answer is wrong. Exact: subsets in which the right answer has m votes and no
    other has more are counted by the product of the others' generating polynomials
    Σ_{j<m} C(w, j)·x^j + y·C(w, m)·x^m, y marking a tie; ∫₀¹ y^t dy = 1/(t + 1) is what the right
    answer gets of a tie with t others, and Gauss–Legendre's rule is exact for it.
    """
    codes, right = _answers(codes, right)
    samples = _samples(right, n)
    binomials, votes = _binomials(samples, n), right.sum(axis=1)
    rivals = np.stack(
        [((codes == k) & ~right).sum(axis=1) for k in range(int(codes.max(initial=-1)) + 1)]
        or [np.zeros(len(codes), dtype=int)],
        axis=1,
    )
    if n == samples:  # one subset: its votes are counted
        level, tied = rivals.max(axis=1), (rivals == votes[:, None]).sum(axis=1)
        return np.where((votes > 0) & (votes >= level), 1 / (1 + tied), 0.0)
    rivals = -np.sort(-rivals, axis=1)  # most votes first
    found = np.zeros(len(codes))
    for m in range(1, min(n, int(votes.max(initial=0))) + 1):
        at = np.flatnonzero(votes >= m)
        others = _outvoted(rivals[at], samples - votes[at], n - m, m, binomials)
        found[at] += binomials[votes[at], m] * others
    return found / math.comb(samples, n)


def majority_place(codes: np.ndarray) -> np.ndarray:
    """(Q,) the sample that gives the most frequent answer of all N; −1 where none is parsed.

    codes: (Q, N) from `classes`. Of tied answers the one seen first wins.
    """
    width = int(codes.max(initial=-1)) + 1
    if width == 0:
        return np.full(len(codes), -1)
    votes = np.stack([(codes == k).sum(axis=1) for k in range(width)], axis=1)
    winner = votes.argmax(axis=1)  # the first of equals: codes are numbered by first appearance
    place = (codes == winner[:, None]).argmax(axis=1)
    return np.where(votes.max(axis=1) > 0, place, -1)


def best_place(rewards: np.ndarray) -> np.ndarray:
    """(Q,) the sample with the highest of N rewards (Q, N), the first of equals; −1: none."""
    rewards = _rewards(rewards, np.shape(rewards))
    return np.where(np.isfinite(rewards).any(axis=1), rewards.argmax(axis=1), -1)


def subsets(samples: int, n: int, drawn: int = 2000, seed: int = 0) -> tuple[np.ndarray, bool]:
    """(S, N) bool, one subset of n samples a row, and whether these are all there are.

    All C(N, n) up to ENUMERATED of them; else `drawn` random ones, for an estimate whose standard
    error is at most 1/(2√drawn) a question.
    """
    if not 1 <= n <= samples:
        raise ValueError(f"n: {n} does not lie in 1..{samples}")
    if math.comb(samples, n) <= ENUMERATED:
        chosen = np.array(list(combinations(range(samples), n)))
    else:
        order = np.random.default_rng(seed).random((drawn, samples)).argsort(axis=1)
        chosen = order[:, :n]
    members = np.zeros((len(chosen), samples), dtype=bool)
    np.put_along_axis(members, chosen, True, axis=1)
    return members, len(chosen) == math.comb(samples, n)


def weighted(
    codes: np.ndarray, right: np.ndarray, rewards: np.ndarray, members: np.ndarray
) -> np.ndarray:
    """(Q,) share of the subsets in which the answer with the largest Σ e^reward is right.

    codes, right, rewards: (Q, N); members: (S, N) bool from `subsets`. Under Bradley–Terry's model,
    which reward models are trained with, e^r / Σ e^r is the chance that a sample is the best of its
    set (Luce 1959), so the vote elects the answer that most probably holds the best sample. It
    depends on differences of rewards alone: where they are small it is the majority, where they are
    large the best of n. Ties as in `majority`; unparsed answers have no weight.
    """
    codes, right = _answers(codes, right)
    rewards = _rewards(rewards, codes.shape)
    members = np.asarray(members, dtype=float)
    if members.ndim != 2 or members.shape[1] != codes.shape[1]:
        raise ValueError(f"members: shape {members.shape}, expected (S, {codes.shape[1]})")
    found, able = np.zeros(len(codes)), (codes >= 0) & np.isfinite(rewards)
    for q in np.flatnonzero((right & able).any(axis=1)):
        at = np.flatnonzero(able[q])
        table = np.zeros((codes.shape[1], int(codes[q].max()) + 1))
        fainter = np.maximum(rewards[q, at] - rewards[q, at].max(), FAINTEST)
        table[at, codes[q, at]] = np.exp(fainter)
        sums = members @ table  # (S, answers)
        top = sums.max(axis=1, keepdims=True)
        tied = (sums >= top * (1 - TIE)) & (top > 0)
        own = tied[:, codes[q, right[q].argmax()]]
        found[q] = (own / np.maximum(tied.sum(axis=1), 1)).mean()
    return found


def reward_auc(right: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """(Q,) chance that a right sample has a higher reward than a wrong one of the same question.

    right: (Q, N) bool; rewards: (Q, N). Equal rewards count ½, −inf is left out; nan where a
    question has not both.
    """
    right, rewards = _matrix("right", right), _rewards(rewards, np.shape(right))
    found, known = np.full(len(right), np.nan), np.isfinite(rewards)
    above, below = right & known, ~right & known
    for q in np.flatnonzero(above.any(axis=1) & below.any(axis=1)):
        apart = rewards[q, above[q]][:, None] - rewards[q, below[q]][None, :]
        found[q] = ((1 + np.sign(apart)) / 2).mean()
    return found


def _outvoted(
    rivals: np.ndarray, rest: np.ndarray, size: int, m: int, binomials: np.ndarray
) -> np.ndarray:
    """(Q,) subsets of `size` samples that are not right, in which no rival has more than m votes.

    Each counts 1/(1 + rivals that have m). rivals: (Q, K) samples of each wrong answer, most first;
    rest: (Q,) samples that are not right, unparsed ones included.
    """
    able = rivals >= m  # the others cannot reach m: their samples are as free as unparsed ones
    free = rest - np.where(able, rivals, 0).sum(axis=1)
    most_tied = min(int(able.sum(axis=1).max(initial=0)), size // m)
    nodes, weights = np.polynomial.legendre.leggauss(most_tied // 2 + 1)
    y, weights = (nodes + 1) / 2, weights / 2  # from [−1, 1] to [0, 1]
    # ways[q, i, s]: subsets of s samples of the answers so far, at the node y[i]
    ways = np.repeat(binomials[free, None, : size + 1], len(y), axis=1)
    for k in range(int(able.sum(axis=1).max(initial=0))):
        at = np.flatnonzero(able[:, k])
        before, after = ways[at], ways[at]
        for j in range(1, min(m, size) + 1):
            share = binomials[rivals[at, k], j][:, None] * (y if j == m else 1.0)
            after[:, :, j:] += share[:, :, None] * before[:, :, :-j]
        ways[at] = after
    return ways[:, :, size] @ weights


@lru_cache(maxsize=32)
def _binomials(samples: int, n: int) -> np.ndarray:
    """(N + 1, n + 1) C(a, b), each the nearest double."""
    table = np.array([[float(math.comb(a, b)) for b in range(n + 1)] for a in range(samples + 1)])
    table.flags.writeable = False
    return table


def _matrix(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or not np.isin(values, (0, 1)).all():
        raise ValueError(f"{name}: expected (Q, N) of 0 and 1, shape {values.shape}")
    return values.astype(bool)


def _samples(right: np.ndarray, n: int) -> int:
    samples = right.shape[1]
    if not 1 <= n <= samples:
        raise ValueError(f"n: {n} does not lie in 1..{samples}, the samples of a question")
    if samples > MOST_SAMPLES:
        raise ValueError(f"right: {samples} samples, expected at most {MOST_SAMPLES}")
    return samples


def _rewards(rewards: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    rewards = np.asarray(rewards, dtype=float)
    if rewards.shape != shape or rewards.ndim != 2:
        raise ValueError(f"rewards: shape {rewards.shape}, expected {shape}")
    if not (rewards < np.inf).all():  # nan fails this too
        raise ValueError("rewards: holds nan or +inf")
    return rewards


def _answers(codes: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both, where the right samples of a question are the samples of one parsed answer."""
    codes, right = np.asarray(codes), _matrix("right", right)
    if codes.shape != right.shape:
        raise ValueError(f"codes: shape {codes.shape}, right has {right.shape}")
    for q in np.flatnonzero(right.any(axis=1)):
        own = codes[q, right[q].argmax()]
        if own < 0 or not np.array_equal(codes[q] == own, right[q]):
            raise ValueError(f"right: question {q}: the right samples are not those of one answer")
    return codes, right
