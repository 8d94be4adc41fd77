"""What a study runs on: sources, rows, prompts, tokens."""
