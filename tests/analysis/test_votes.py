"""Votes against brute force over subsets, hand-worked values and identities."""

from collections import Counter
from fractions import Fraction
from itertools import combinations, permutations
from math import comb, exp, inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.analysis.votes import (
    ENUMERATED,
    best,
    best_place,
    classes,
    majority,
    majority_place,
    passed,
    reward_auc,
    subsets,
    unique,
    weighted,
)

GOLD = "7"


@st.composite
def questions(draw, most=7):
    """Questions with N answers each, of which "7" is right, and a few reward levels."""
    samples, count = draw(st.integers(1, most)), draw(st.integers(1, 3))
    said = st.lists(st.sampled_from([GOLD, "1", "2", "3", None]), min_size=samples,
                    max_size=samples)  # fmt: skip
    level = st.lists(
        st.sampled_from([-1.5, 0.0, 0.25, 2.0, -inf]), min_size=samples, max_size=samples
    )
    answers = [draw(said) for _ in range(count)]
    rewards = [draw(level) for _ in range(count)]
    return answers, np.array(rewards), draw(st.integers(1, samples))


def arrays(answers):
    return classes(answers), np.array([[one == GOLD for one in row] for row in answers])


def elected(said, weights=None):
    """Share of the right answer among the tied winners of one vote."""
    weights = weights or [1] * len(said)
    sums = Counter()
    for one, weight in zip(said, weights, strict=True):
        if one is not None:
            sums[one] += weight
    top = max(sums.values(), default=0)
    if not top:
        return Fraction(0)
    winners = [one for one in sums if abs(sums[one] - top) <= 1e-12 * abs(top)]
    return Fraction(GOLD in winners, len(winners))


def over_subsets(samples, n, value):
    chosen = list(combinations(range(samples), n))
    return float(sum(value(c) for c in chosen) / len(chosen))


@given(questions())
@settings(max_examples=150, deadline=None)
def test_every_strategy_agrees_with_brute_force_over_subsets(drawn):
    answers, rewards, n = drawn
    codes, right = arrays(answers)
    members, whole = subsets(codes.shape[1], n)
    assert whole
    found = {
        "majority": majority(codes, right, n),
        "best": best(right, rewards, n),
        "passed": passed(right, n),
        "weighted": weighted(codes, right, rewards, members),
    }
    for q, said in enumerate(answers):
        reward = rewards[q]

        def best_of(chosen, said=said, reward=reward):
            top = max(reward[i] for i in chosen)
            tied = [said[i] == GOLD and top > -inf for i in chosen if reward[i] == top]
            return Fraction(sum(tied), len(tied))

        brute = {
            "majority": lambda c, said=said: elected([said[i] for i in c]),
            "best": best_of,
            "passed": lambda c, said=said: Fraction(any(said[i] == GOLD for i in c)),
            "weighted": lambda c, said=said, r=reward: elected(
                [said[i] for i in c], [exp(r[i]) for i in c]
            ),
        }
        for name, value in brute.items():
            expected = over_subsets(len(said), n, value)
            assert found[name][q] == pytest.approx(expected, abs=1e-12), (name, said, n)


@given(questions(most=5))
@settings(max_examples=60, deadline=None)
def test_ties_in_expectation_are_first_seen_over_all_orders(drawn):
    answers, _, n = drawn
    codes, right = arrays(answers)
    found = majority(codes, right, n)
    for q, said in enumerate(answers):
        orders = list(permutations(said, n))
        places = majority_place(classes(orders))
        wins = [p >= 0 and order[p] == GOLD for order, p in zip(orders, places, strict=True)]
        assert found[q] == pytest.approx(np.mean(wins), abs=1e-12)


@given(questions())
@settings(max_examples=60, deadline=None)
def test_identities(drawn):
    answers, rewards, _ = drawn
    codes, right = arrays(answers)
    samples = codes.shape[1]
    mean = right.mean(axis=1)
    rewards = np.maximum(rewards, -9.0)  # every sample can be chosen
    one, _ = subsets(samples, 1)
    for first in (majority(codes, right, 1), best(right, rewards, 1), passed(right, 1),
                  weighted(codes, right, rewards, one)):  # fmt: skip
        np.testing.assert_allclose(first, mean, atol=1e-14)
    for n in range(1, samples + 1):
        ceiling = passed(right, n) + 1e-12
        assert (majority(codes, right, n) <= ceiling).all()
        assert (best(right, rewards, n) <= ceiling).all()
    if all(one is not None for row in answers for one in row) and samples > 1:
        np.testing.assert_allclose(majority(codes, right, 2), mean, atol=1e-12)
        first_seen = [row[p] == GOLD for row, p in zip(answers, majority_place(codes[:, :2]),
                      strict=True)]  # fmt: skip
        assert first_seen == right[:, 0].tolist()
    equal = np.zeros_like(rewards)
    whole, _ = subsets(samples, samples)
    np.testing.assert_allclose(weighted(codes, right, equal, whole),
                               majority(codes, right, samples), atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(best(right, equal, samples), mean, atol=1e-12)


def test_values_by_hand():
    """7 7 1 1 2 −: of three, the right answer wins outright, in a tie, or not at all.

    Subsets of 3 of 6, 20 in all. Both 7s and any other: 4, won. One 7 with none of its rivals
    twice: 7 1 2: 2·2·1 = 4, a third each; 7 1 −: 4, half; 7 2 −: 2, half. 7 1 1: 2, lost.
    Without a 7: 4, lost. 4 + 4/3 + 4/2 + 2/2 = 25/3 of 20.
    """
    codes, right = arrays([["7", "7", "1", "1", "2", None]])
    assert codes.tolist() == [[0, 0, 1, 1, 2, -1]]
    assert majority(codes, right, 3)[0] == pytest.approx(25 / 60, abs=1e-15)
    assert passed(right, 3)[0] == 1 - 4 / 20
    assert unique(codes).tolist() == [3]
    # Ranks of the rewards 1 to 6: the right ones are 2nd and 5th, so C(1, 2) and C(4, 2) of 20.
    rewards = np.array([[2.0, 5.0, 1.0, 3.0, 4.0, 6.0]])
    assert best(right, rewards, 3)[0] == pytest.approx(6 / 20)
    assert best_place(rewards).tolist() == [5]
    # Right 2 and 5, wrong 1, 3, 4, 6: 2 beats one, 5 beats three, of eight pairs.
    assert reward_auc(right, rewards).tolist() == [0.5]


def test_a_large_reward_decides_and_an_unparsed_answer_does_not():
    codes, right = arrays([["1", "1", "7", None]])
    whole = np.ones((1, 4), dtype=bool)
    assert weighted(codes, right, np.array([[0.0, 0.0, 1.0, 9.0]]), whole).tolist() == [
        1.0
    ]  # e > 2
    assert weighted(codes, right, np.array([[0.0, 0.0, 0.5, 9.0]]), whole).tolist() == [0.0]
    shifted = weighted(codes, right, np.array([[700.0, 700.0, 701.0, -900.0]]), whole)
    assert shifted.tolist() == [1.0]


def test_what_the_reward_model_could_not_read_is_never_chosen():
    codes, right = arrays([["7", "1"], ["7", "1"], ["7", "1"]])
    rewards = np.array([[-inf, -3.0], [-3.0, -inf], [-inf, -inf]])
    whole = np.ones((1, 2), dtype=bool)
    assert best(right, rewards, 2).tolist() == [0.0, 1.0, 0.0]
    assert best(right, rewards, 1).tolist() == [0.0, 0.5, 0.0]
    assert weighted(codes, right, rewards, whole).tolist() == [0.0, 1.0, 0.0]
    assert best_place(rewards).tolist() == [1, 0, -1]
    assert np.isnan(reward_auc(right, rewards)).all()


def test_nothing_parsed_is_wrong_and_names_no_sample():
    codes, right = arrays([[None, None], ["1", "7"]])
    assert majority(codes, right, 2).tolist() == [0.0, 0.5]
    assert majority_place(codes).tolist() == [-1, 0]
    assert unique(codes).tolist() == [0, 2]
    assert np.isnan(reward_auc(right, np.zeros((2, 2)))[0])
    none = classes([[None, None]])
    assert majority_place(none).tolist() == [-1]
    assert majority(none, np.zeros((1, 2), dtype=bool), 1).tolist() == [0.0]


def test_no_questions():
    codes, right = classes([]), np.zeros((0, 4), dtype=bool)
    assert codes.shape == (0, 0)
    assert majority(np.zeros((0, 4), dtype=int), right, 2).shape == (0,)
    assert passed(right, 2).shape == (0,)
    assert best(right, np.zeros((0, 4)), 2).shape == (0,)


@pytest.mark.parametrize("n", [1, 2, 5, 16, 33, 64])
def test_many_samples_agree_with_exact_fractions(n):
    """Counts 20 right, 20, 9, 7, 1 × 5 wrong, 3 unparsed, by a recursion in whole numbers."""
    said = [GOLD] * 20 + ["a"] * 20 + ["b"] * 9 + ["c"] * 7 + list("defgh") + [None] * 3
    codes, right = arrays([said])
    total = Fraction(0)
    for m in range(1, min(n, 20) + 1):
        ways = {(0, 0): 1}  # (samples, rivals tied) → subsets
        for count in (20, 9, 7, 1, 1, 1, 1, 1):
            after = Counter()
            for (size, tied), so_far in ways.items():
                for j in range(min(count, m) + 1):
                    after[size + j, tied + (j == m)] += so_far * comb(count, j)
            ways = after
        for (size, tied), so_far in ways.items():
            if 0 <= n - m - size <= 3:
                total += Fraction(comb(20, m) * so_far * comb(3, n - m - size), 1 + tied)
    assert majority(codes, right, n)[0] == pytest.approx(float(total / comb(64, n)), rel=1e-12)


def test_a_thousand_samples_are_still_finite():
    codes = (np.arange(1000) < 4)[None].astype(int)  # of 500 samples four are never the most
    assert majority(codes, codes == 0, 500)[0] == pytest.approx(1, rel=1e-12)
    assert passed(codes == 0, 500)[0] == 1.0
    with pytest.raises(ValueError, match="1001 samples, expected at most 1000"):
        passed(np.zeros((1, 1001), dtype=bool), 2)


def test_too_many_subsets_are_drawn_and_said_to_be():
    members, whole = subsets(64, 8, drawn=3000, seed=1)
    assert (members.shape, whole) == ((3000, 64), False)
    assert set(members.sum(axis=1)) == {8}
    assert np.array_equal(members, subsets(64, 8, drawn=3000, seed=1)[0])
    assert comb(16, 8) <= ENUMERATED
    assert subsets(16, 8)[1]
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (5, 64))
    right = codes == 2
    found = weighted(codes, right, np.zeros((5, 64)), members)
    np.testing.assert_allclose(found, majority(codes, right, 8), atol=5 / (2 * 3000**0.5))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: classes([["1"], ["1", "2"]]), r"answers: \[1, 2\] samples, expected one N"),
        (lambda: passed(np.ones((1, 2)), 3), "n: 3 does not lie in 1..2"),
        (lambda: passed(np.ones((1, 2)), 0), "n: 0 does not lie in 1..2"),
        (lambda: passed(np.ones(2), 1), r"right: expected \(Q, N\)"),
        (
            lambda: best(np.ones((1, 2)), np.array([[1.0, np.nan]]), 1),
            "rewards: holds nan",
        ),
        (lambda: best(np.ones((1, 2)), np.zeros((1, 3)), 1), r"rewards: shape \(1, 3\)"),
        (lambda: majority(np.array([[0, 1]]), np.ones((1, 2)), 1), "question 0: .* one answer"),
        (lambda: majority(np.array([[0, -1]]), np.array([[0, 1]]), 1), "question 0"),
        (lambda: majority(np.array([[0, 1]]), np.ones((1, 3)), 1), r"codes: shape \(1, 2\)"),
        (lambda: subsets(3, 4), "n: 4 does not lie in 1..3"),
    ],
)
def test_bad_arguments_are_named(call, expected):
    with pytest.raises(ValueError, match=expected):
        call()
