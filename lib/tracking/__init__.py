"""Copies of runs in trackers: a point's train.jsonl and what stage 4 measured of it.

`train.jsonl` stays the source of truth: a tracker's run is what that file says now. `runs` reads a
study, `trackers` names the trackers that there are, each has a module that opens a run in it, and
`live` keeps one open while a point trains.
"""
