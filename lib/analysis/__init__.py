"""From predictions to numbers, intervals and verdicts."""
