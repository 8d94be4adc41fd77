"""Search over settings of training: its section of a study file, its journal, its trials.

schema    what `search:` may say             checks     what a study must have for it
journal   Optuna's journal, made kill-safe   trials     a trial as a point of its study
reap      dead trials, and what is missing   best       the best trial, and its study file
selected  points whose settings a search chose
"""
