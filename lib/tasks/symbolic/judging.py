"""The rewards of a question's samples and of its greedy answer."""

from __future__ import annotations

from typing import Any

from lib.config.tasks import Judging, Message, Reply, Row, conversation


def judging(settings: Any, section: Any) -> Judging:
    """Each answer is a question. The judgments of a prediction:

        {"rewards": [float | null, …], "greedy_reward": float | null,
         "judge": model name, "revision": commit | null}

    rewards: of the samples, in their order. Null: of an answer that the model cannot read whole.
    """

    def questions(row: Row, prediction: Row) -> list[list[Message]]:
        answers = [*prediction["outputs"], prediction["greedy"]]
        return [conversation(row["prompt"]["question"], answer) for answer in answers]

    def judgments(
        prediction: Row, questions: list[list[Message]], replies: list[Reply], judge: Any
    ) -> Row:
        *rewards, greedy = [reply.scores and reply.scores[0] for reply in replies]
        return {"rewards": rewards, "greedy_reward": greedy, **judge.source}

    return Judging(
        identity={"kind": settings.kind},
        questions=questions,
        judgments=judgments,
        is_valid=lambda reply: reply.scores is not None,
    )
