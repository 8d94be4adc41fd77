"""Training questions that are almost a test question: reported, not removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lib.tasks.math.problems import Problem

LISTED = 50  # pairs in the report, the most alike first
SPELLING = {"analyzer": "char_wb", "ngram_range": (5, 5)}  # runs of five characters within words
BLOCK = 256  # test questions compared at a time: bounds the memory


def near_duplicates(
    train: Sequence[Problem], test: Sequence[Problem], threshold: float
) -> dict[str, Any]:
    """How many test questions have a training question that is at least so much alike.

        {"threshold", "train": n, "test": n compared, "found": test questions with one,
         "pairs": [{"test", "train": ids, "similarity"}, …]}

    Each test question with the training question most like it. Similarity: the cosine of TF-IDF
    over runs of five characters within words, by scikit-learn; 1 for equal questions. On GSM8K
    pairs from 0.7 tell one story with other names and numbers.
    """
    report: dict[str, Any] = {"threshold": threshold, "train": len(train), "test": len(test)}
    pairs = [
        {"test": problem.id, "train": train[place].id, "similarity": round(value, 3)}
        for problem, (place, value) in zip(test, nearest_questions(train, test), strict=False)
        if value >= threshold
    ]
    pairs.sort(key=lambda pair: -pair["similarity"])
    return {**report, "found": len(pairs), "pairs": pairs[:LISTED]}


def nearest_questions(
    train: Sequence[Problem], test: Sequence[Problem], likeness: Mapping[str, Any] = SPELLING
) -> Iterator[tuple[int, float]]:
    """(place in `train`, similarity) of the most similar question, for each of `test`.

    likeness: what of a question counts, as keys of scikit-learn's TfidfVectorizer. Nothing where
    there is nothing to compare.
    """
    if not train or not test:
        return
    import numpy as np  # not above: stages answer --help without these
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **likeness)
    known = vectors.fit_transform([problem.question for problem in train]).T.tocsr()
    asked = vectors.transform([problem.question for problem in test])
    for start in range(0, len(test), BLOCK):
        alike = (asked[start : start + BLOCK] @ known).tocsr()
        best = np.asarray(alike.argmax(axis=1)).ravel()
        yield from ((int(column), float(alike[row, column])) for row, column in enumerate(best))
