"""MT-Bench: two-turn questions in eight categories, each answer rated from 1 to 10 by a judge."""
