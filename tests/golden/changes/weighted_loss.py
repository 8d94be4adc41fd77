"""Class-weighted decisions, analysed by one engine over tables. See `tests.golden.changes`."""

from tests.golden.changes import AGGREGATED

JSON = f"^({AGGREGATED})"
RENAMES: dict[str, tuple[str, str]] = {
    JSON + "/points/([^/]+)/control/mcnemar/p_value$": (
        r"\1/points/\2/control/p",
        "one test a row",
    ),
    JSON + r"/points/(accept_[^/]+)_seed42/accuracy_difference/value$": (
        r"\1/contrasts/baseline/accuracy/\2 − baseline_gamma1_ratio1-2/difference",
        "settings are compared; of one seed it is the same number",
    ),
    JSON + r"/points/(accept_[^/]+)_seed42/accuracy_difference/(low|high)$": (
        r"\1/contrasts/baseline/accuracy/\2 − baseline_gamma1_ratio1-2/\3",
        "likewise its interval",
    ),
    JSON + r"/points/(accept_[^/]+)_seed42/mcnemar/p_value$": (
        r"\1/contrasts/baseline/accuracy/\2 − baseline_gamma1_ratio1-2/p",
        "likewise its test: the sign-flip test of 0 and 1 is McNemar's",
    ),
    JSON + r"/points/(accept_[^/]+)_seed42/auc_difference/value$": (
        r"\1/contrasts/baseline/auc/\2 − baseline_gamma1_ratio1-2/difference",
        "likewise",
    ),
    JSON + r"/seeds/0/metrics/(\w+)/mean$": (
        r"\1/settings/reject_gamma2_ratio1-2/metrics/\2/value",
        "what seeds share is a setting",
    ),
    JSON + r"/seeds/0/metrics/(\w+)/sd$": (
        r"\1/settings/reject_gamma2_ratio1-2/metrics/\2/sd",
        "likewise",
    ),
    JSON + r"/shift_line/(slope|intercept|correlation|points)$": (
        r"\1/shift_line/0/\2",
        "one row for all seeds, and one a seed",
    ),
    JSON + r"/truth/(bayes_accuracy\w*)$": (
        r"\1/points/baseline_gamma1_ratio1-2_seed42/truth/\2",
        "a column of the table of points",
    ),
}

SHARES = {}
REMOVED = {
    "*.csv/*": "the numbers of the JSON once more",
    "*/criteria/*/criterion": "claims of the study file in place of criteria in code",
    "*/criteria/*/number*": "numbers of a sentence; they stand at the points",
}
CHANGES = {}
NEW = {}
