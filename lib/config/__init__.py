"""A study file, and the points that it stands for."""
