"""Training: the loop that all objectives share, and one Trainer a kind of batch."""
