"""Answers and their probabilities from a trained model."""
