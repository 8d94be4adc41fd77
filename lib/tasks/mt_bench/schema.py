"""The keys that say where the questions of MT-Bench come from."""

from __future__ import annotations

from lib.config.types import Count, PathText, Strict

# Category → temperature at which its questions are answered.
# Source: FastChat, fastchat/llm_judge/common.py, temperature_config.
TEMPERATURES = {
    "writing": 0.7,
    "roleplay": 0.7,
    "reasoning": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "extraction": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
# Categories whose answers are judged beside a reference. Source: the same file, NEED_REF_CATS.
REFERENCED = ("reasoning", "math", "coding")
SAMPLE = "sample"  # as `questions`: a handful of our own


class Data(Strict):
    """Questions, references and the words of the judge's prompts."""

    questions: PathText | None = None  # FastChat's question.jsonl, or `sample`; null: no questions
    references: PathText | None = None  # FastChat's reference_answer/….jsonl; `sample` has its own
    judge_prompts: PathText | None = None  # FastChat's judge_prompts.jsonl; null: our own words
    limit: Count | None = None  # questions, each category with its share; null: all
