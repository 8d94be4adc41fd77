"""Accept or reject: a paper, a decision, and a class whose loss is weighted by γ."""
