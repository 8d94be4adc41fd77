"""The built-in corpus: what it says of itself by enumeration is what is drawn."""

import math
from collections import Counter
from itertools import combinations, product

import pytest

from lib.tasks.decision import synthetic


@pytest.fixture(scope="module")
def corpus():
    return synthetic.generate(20_000, seed=1)


def log_odds_of(text):
    """The weights of a summary, looked up word by word."""
    total = 0
    for statement in text.rstrip(".").split(". "):
        wording, aspect = statement.lower().split()
        weight, wordings = synthetic.GRAMMAR[aspect]
        total += weight * synthetic.GRADES[wordings.index(wording)]
    return total / 100


def test_a_row_by_hand():
    assert (
        log_odds_of("New idea. Wrong theory. Fair evidence. Minor impact.")
        == (3 * 33 - 3 * 48 + 40 - 3 * 32) / 100
    )


def test_text_and_log_odds_agree(corpus):
    for row in corpus[:500]:
        assert row["log_odds_true"] == log_odds_of(row["text"])
        assert row["text"].count(".") == synthetic.STATEMENTS


def test_a_row_depends_on_seed_and_number_alone(corpus):
    assert synthetic.generate(5, seed=1, start=100) == corpus[100:105]
    assert [r["text"] for r in synthetic.generate(50, 2)] != [r["text"] for r in corpus[:50]]


def test_titles_and_ids_are_unique(corpus):
    assert len({row["title"] for row in corpus}) == len({row["id"] for row in corpus}) == 20_000


def test_summaries_by_enumeration(corpus):
    """No tie; Σ p(z) σ(z) = 1/2, so log-odds and log likelihood ratio are one; nobody beats 0.75.

    p(z) is symmetric, and what is drawn agrees with it.
    """
    totals = Counter(
        sum(weight * grade for weight, grade in zip(weights, grades, strict=True)) / 100
        for weights in combinations([weight for weight, _ in synthetic.GRAMMAR.values()], 4)
        for grades in product(synthetic.GRADES, repeat=4)
    )
    assert totals.total() == 1280
    assert 0.0 not in totals
    assert all(totals[-z] == n for z, n in totals.items())
    accepted = {z: 1 / (1 + math.exp(-z)) for z in totals}
    assert math.fsum(n * accepted[z] for z, n in totals.items()) / 1280 == pytest.approx(0.5)
    bayes = math.fsum(n * accepted[abs(z)] for z, n in totals.items()) / 1280
    assert bayes == pytest.approx(0.75, abs=0.001)
    right = sum((r["log_odds_true"] > 0) == (r["decision"] == "accept") for r in corpus)
    assert right / len(corpus) == pytest.approx(bayes, abs=4 * math.sqrt(0.25 / len(corpus)))
    for offset in (-math.log(8), 0.0, math.log(4)):
        exact = sum(n for z, n in totals.items() if z + offset > 0) / 1280
        share = sum(r["log_odds_true"] + offset > 0 for r in corpus) / len(corpus)
        assert share == pytest.approx(exact, abs=4 * math.sqrt(0.25 / len(corpus)))


def test_log_odds_are_the_log_likelihood_ratio(corpus):
    """p(z | accept) / p(z | reject) = e^z, on the summaries within a narrow band of z."""
    for low in (-1.5, -0.5, 0.5, 1.5):
        band = [r for r in corpus if low <= r["log_odds_true"] < low + 0.4]
        accepts = sum(r["decision"] == "accept" for r in band)
        mean = sum(1 / (1 + math.exp(-r["log_odds_true"])) for r in band) / len(band)
        assert abs(accepts - mean * len(band)) < 4 * math.sqrt(len(band) * mean * (1 - mean))
