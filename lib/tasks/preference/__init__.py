"""Preference pairs: one prompt, a chosen and a rejected answer."""
