"""Training questions that are almost a test question: reported, not removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib.tasks.math.problems import Problem

LISTED = 50  # pairs in the report, the most alike first
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
    pairs = []
    if train and test:
        import numpy as np  # not above: stages answer --help without these
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectors = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(5, 5), sublinear_tf=True, dtype=np.float32
        )
        known = vectors.fit_transform([problem.question for problem in train]).T.tocsr()
        asked = vectors.transform([problem.question for problem in test])
        for start in range(0, len(test), BLOCK):
            alike = (asked[start : start + BLOCK] @ known).tocsr()
            best = np.asarray(alike.argmax(axis=1)).ravel()
            for row, column in enumerate(best):
                if (value := float(alike[row, column])) >= threshold:
                    ids = {"test": test[start + row].id, "train": train[column].id}
                    pairs.append({**ids, "similarity": round(value, 3)})
    pairs.sort(key=lambda pair: -pair["similarity"])
    return {**report, "found": len(pairs), "pairs": pairs[:LISTED]}
