"""What is noted of a submitted array: the claims of the study when its first was submitted."""

from lib.config.load import load_study
from lib.runs.files import read_json, write_json
from lib.slurm.arrays import ARRAYS, Array, first_claims, record

CLAIM = {"say": "it is high", "metric": "accuracy", "above": 0.5}


def test_every_array_keeps_the_claims_of_the_first(write_study):
    study = load_study(write_study({"claims": [CLAIM]}))
    assert first_claims(study) is None
    record(study, Array("7", "train", "0-2", 0, 1, study.grid_hash, {}), [])
    first = [study.claims[1].hash]
    changed = load_study(write_study({"claims": [CLAIM | {"above": 0.4}]}))
    record(changed, Array("3", "infer", "0-2", 0, 1, study.grid_hash, {}), [])
    assert first_claims(study) == first_claims(changed) == first != [changed.claims[1].hash]


def test_an_array_of_before_has_none(write_study):
    study = load_study(write_study({"claims": [CLAIM]}))
    record(study, Array("7", "train", "0-2", 0, 1, study.grid_hash, {}), [])
    path = study.directory / ARRAYS / "7.json"
    write_json(path, {k: v for k, v in read_json(path).items() if k != "claims"})
    record(study, Array("8", "infer", "0-2", 0, 1, study.grid_hash, {}), [])
    assert first_claims(study) is None
