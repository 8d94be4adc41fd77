"""Problems of our own, and files of them."""

import json


def problem(number, answer=None, **more):
    """A GSM8K row of its own words; the answer is its number."""
    return {
        "question": f"Question {number}: what is {number} times one?",
        "answer": answer or f"It is {number}*1=<<{number}*1={number}>>{number}.\n#### {number}",
    } | more


def jsonl(path, rows):
    """Write rows to a file, and return its path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
