"""Of each point and question the greedy answer and `infer.samples` drawn ones."""

from __future__ import annotations

from lib.config.grid import digest
from lib.config.tasks import Row
from lib.inference.predict import Answers
from lib.tasks.symbolic.grading import regrade

SEEDS = 2**31  # the first seed of a question is below this


class Predictor(Answers):
    """See `lib.inference.predict.Predictor`. A prediction is

        {"id", "prompt_hash", "outputs": [str, …], "seeds": [int, …], "greedy": str,
         "scores": null, …graded}

    outputs: the samples; seeds: of each; greedy: the answer without chance; graded: see
    `lib.tasks.symbolic.grading`. Seeds depend on the question alone: neither batches nor what an
    earlier run had done move them, and all points draw with the same.
    """

    def predict(self, start: int, end: int) -> list[Row]:
        """See `lib.inference.predict.Predictor`."""
        batch, n = self.test[start:end], self.settings.samples
        made = []
        seeds = [first_seed(row_id) for row_id in batch["id"]]
        answers = self._answers(batch["input_ids"], seeds)
        columns = (self.rows[start:end], batch["id"], batch["prompt_hash"], seeds, answers)
        for row, row_id, prompt_hash, seed, (greedy, *drawn) in zip(*columns, strict=True):
            prediction = {
                "id": row_id,
                "prompt_hash": prompt_hash,
                "outputs": drawn,
                "seeds": list(range(seed, seed + n)),
                "greedy": greedy,
                "scores": None,
            }
            made.append({**prediction, **regrade(row, prediction)})
        return made

    def _answers(self, prompts: list[list[int]], seeds: list[int]) -> list[list[str]]:
        """The greedy answer to each prompt, and behind it the samples."""
        n, temperature = self.settings.samples, self.settings.temperature
        if not n:
            return self.engine.generate(prompts, self.settings, [0.0] * len(prompts))
        # Beside each other, so that an engine reads the prompt once for all of them.
        twice = [prompt for prompt in prompts for _ in range(2)]
        found = self.engine.generate(
            twice,
            self.settings,
            [0.0, temperature] * len(prompts),
            [seed for seed in seeds for _ in range(2)],
            [1, n] * len(prompts),
        )
        return [[*found[i], *found[i + 1]] for i in range(0, len(found), 2)]


def first_seed(row_id: str) -> int:
    """The seed of a question's first sample; sample i has this + i."""
    return int(digest(["samples", row_id]), 16) % SEEDS
