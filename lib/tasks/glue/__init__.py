"""GLUE: a label for a sentence or a pair, scored on the published dev sets."""
