"""Scores that a judge gives to answers."""
