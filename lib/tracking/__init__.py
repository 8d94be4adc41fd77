"""Export of runs to trackers: train.jsonl of a point, and its metrics of stage 4.

`train.jsonl` is the source of truth: a tracker's run always agrees with that file. `runs` reads a
study, `trackers` has the interface and the list of trackers, `to_<tracker>` writes runs, and `live`
logs while a point trains.
"""
