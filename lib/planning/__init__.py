"""What a study costs and what it can decide, before and while it runs. No torch."""
