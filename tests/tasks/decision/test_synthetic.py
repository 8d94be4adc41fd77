"""The built-in corpus: what it says of itself by enumeration is what is drawn."""

import math
from itertools import pairwise

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


def test_distribution_sums_to_one_is_symmetric_and_has_no_tie():
    found = synthetic.distribution()
    assert math.fsum(found.values()) == pytest.approx(1, abs=1e-12)
    assert 0.0 not in found
    assert all(found[-z] == p for z, p in found.items())


def test_half_are_accepted():
    """Symmetry: P(accept) = Σ p(z) σ(z) = 1/2, so log-odds and log likelihood ratio are one."""
    total = math.fsum(p / (1 + math.exp(-z)) for z, p in synthetic.distribution().items())
    assert total == pytest.approx(0.5, abs=1e-12)
    assert synthetic.acceptance_rate() == pytest.approx(0.5, abs=1e-12)


def test_log_odds_are_the_log_likelihood_ratio(corpus):
    """p(z | accept) / p(z | reject) = e^z, on the summaries within a narrow band of z."""
    for low in (-1.5, -0.5, 0.5, 1.5):
        band = [r for r in corpus if low <= r["log_odds_true"] < low + 0.4]
        accepts = sum(r["decision"] == "accept" for r in band)
        mean = sum(1 / (1 + math.exp(-r["log_odds_true"])) for r in band) / len(band)
        assert abs(accepts - mean * len(band)) < 4 * math.sqrt(len(band) * mean * (1 - mean))


def test_bayes_accuracy(corpus):
    exact = synthetic.bayes_accuracy()
    right = sum((r["log_odds_true"] > 0) == (r["decision"] == "accept") for r in corpus)
    assert exact == pytest.approx(0.75, abs=0.001)
    assert right / len(corpus) == pytest.approx(exact, abs=4 * math.sqrt(0.25 / len(corpus)))
    assert exact > max(synthetic.bayes_accuracy(offset) for offset in (-1, -0.1, 0.1, 1))


@pytest.mark.parametrize("offset", [-math.log(8), -math.log(2), 0.0, math.log(4), 9.0, -9.0])
def test_acceptance_rate(corpus, offset):
    exact = synthetic.acceptance_rate(offset)
    share = sum(r["log_odds_true"] + offset > 0 for r in corpus) / len(corpus)
    assert share == pytest.approx(exact, abs=4 * math.sqrt(0.25 / len(corpus)))


def test_acceptance_rises_with_the_offset():
    rates = [synthetic.acceptance_rate(math.log(g / 8)) for g in (1, 2, 4, 8, 16)]
    assert all(low < high for low, high in pairwise(rates))
