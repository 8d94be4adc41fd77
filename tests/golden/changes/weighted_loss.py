"""Class-weighted decisions, analysed by one engine over tables. See `tests.golden.changes`."""

from tests.golden.changes import AGGREGATED

VIEW = "a view of the tables: metrics of every task in one shape"
TABLE = "a row of a table"
JSON = f"^({AGGREGATED})"
COMPARED = "*/aggregated_metrics.json"

# -- points ---------------------------------------------------------------------------------------

POINT = rf"^(?:points/([^/]+)/metrics|{AGGREGATED}/points/([^/]+))"
OF_POINT = r"points/\1\2/metrics"
SHARES = {f"({POINT}(?:/by_year/[^/]+)?)/unknown$": (r"\1/rows", "rest")}
RENAMES = {
    f"{POINT}/unknown$": (f"{OF_POINT}/metrics/parsed/value", "1 − the share of these"),
    f"{POINT}/(by_year/[^/]+)/unknown$": (
        rf"{OF_POINT}/\3/metrics/parsed/value", "1 − the share of these"),
    f"{POINT}/(rows|neither_mean)$": (rf"{OF_POINT}/\3", VIEW),
    f"{JSON}/points/([^/]+)/values/seed$": (r"\1/points/\2/seed", "a column of every study"),
    f"{JSON}/rows$": ("points/baseline_gamma1_ratio1-2_seed42/metrics/rows", "of a whole point"),
    JSON + r"/points/([^/]+)/control/mcnemar/p_value$": (r"\1/points/\2/control/p", TABLE),
    JSON + r"/points/([^/]+)/control/mcnemar/p_holm$": (r"\1/points/\2/control/p_holm", TABLE),
    r"^(runs/without_baseline/aggregated_metrics.json)/truth/(bayes_accuracy\w*)$": (
        r"\1/points/accept_gamma4_ratio1-2_seed42/truth/\2", "a column of the table of points"),
    JSON + r"/truth/(bayes_accuracy\w*)$": (
        r"\1/points/baseline_gamma1_ratio1-2_seed42/truth/\2", "a column of the table of points"),
}  # fmt: skip

# -- settings and contrasts: of seeds those that both have, which is 42 ---------------------------

SEED_42 = JSON + r"/points/((?:accept|reject)_[^/]+)_seed42"
BASELINE = "baseline_gamma1_ratio1-2"
for old, metric in {"accuracy_difference": "accuracy", "auc_difference": "auc"}.items():
    contrast = rf"\1/contrasts/baseline/{metric}/\2 − {BASELINE}"
    RENAMES |= {
        f"{SEED_42}/{old}/value$": (f"{contrast}/difference", TABLE),
        f"{SEED_42}/{old}/(low|high)$": (rf"{contrast}/\3", TABLE),
    }
TEST = rf"\1/contrasts/baseline/accuracy/\2 − {BASELINE}"
RENAMES |= {
    f"{SEED_42}/mcnemar/p_value$": (f"{TEST}/p", "the sign-flip test of 0 and 1 is McNemar's"),
    f"{SEED_42}/mcnemar/p_holm$": (f"{TEST}/p_holm", TABLE),
    JSON + r"/seeds/0/metrics/(\w+)/mean$": (
        r"\1/settings/reject_gamma2_ratio1-2/metrics/\2/value", TABLE),
    JSON + r"/seeds/0/metrics/(\w+)/sd$": (
        r"\1/settings/reject_gamma2_ratio1-2/metrics/\2/sd", TABLE),
}  # fmt: skip

# -- further tables -------------------------------------------------------------------------------

for place in range(5):  # every fifth level of the curve was frozen
    RENAMES[rf"{JSON}/control_curve/(\w+)/{place}$"] = (
        rf"\1/control_curve/{5 * place}/\2", TABLE)  # fmt: skip
TRENDS = [("comparison", old, new) for old, new in {0: 0, 1: 1, 2: 2, 3: 3, 8: 4}.items()]
TRENDS += [("runs/with_baseline", place, place) for place in range(2)]
for root, place, row in TRENDS:
    old, new = f"^({root}/aggregated_metrics.json)/trends/{place}", rf"\1/trends/{row}"
    RENAMES |= {
        f"{old}/pairs/reversed_significantly$": (f"{new}/reversed_clearly", TABLE),
        rf"{old}/pairs/(\w+)$": (rf"{new}/\2", TABLE),
        f"{old}/page/statistic$": (f"{new}/page", TABLE),
        f"{old}/page/p_value$": (f"{new}/p", TABLE),
        f"{old}/page/(p_holm|method)$": (rf"{new}/\2", TABLE),
    }
    if place != 3:
        RENAMES[f"{old}/page/reason$"] = (f"{new}/why", TABLE)
RENAMES |= {
    JSON + r"/shift_line/(\w+)$": (r"\1/shift_line/0/\2", "one row for all seeds, and one a seed"),
    JSON + r"/equal_odds/0/mean_logit_range$": (r"\1/equal_odds/0/logit_range", TABLE),
}
CLAIMS = {
    0: "every point is trained to its end",
    1: "every prediction is valid and there",
    2: "γ moves the acceptance rate one way, in each variant and ratio",
    3: "acceptance rates span 30 to 70 %",
    4: "accuracy is above 60 % at most points",
}
RENAMES |= {
    f"{JSON}/criteria/{place}/verdict$": (rf"\1/criteria/{claim}", "claims by their words")
    for place, claim in CLAIMS.items()
}

NO_SCORES = "a point that lacks a score has no row; what it was told is in its metrics"
NAMES = "names and axis values, which points and labels have"
REMOVED = {
    "*.csv/*": "the numbers of the JSON once more",
    "*/criteria/*/criterion": "claims of the study file in place of criteria in code",
    "*/criteria/*/number*": "numbers of a sentence; they stand at the points",
    "*/criteria/5/verdict": "whether plots show it is no claim",
    "*/baseline/name": "a setting, not a point",
    "*/families/*": "sizes of Holm's families: rows of contrasts.csv",
    "*/cell/*": NAMES,
    "*/mcnemar/[bc]": "counts of McNemar's test",
    "*/reject_gamma2_ratio1-2_seed4[34]/*_difference/*": "seed with seed: the baseline has 42",
    "*/reject_gamma2_ratio1-2_seed4[34]/mcnemar/*": "seed with seed: the baseline has 42",
    "*/reject_gamma2_ratio1-2_seed44/control/*": NO_SCORES,
    "*/reject_gamma2_ratio1-2_seed44/theory/*": NO_SCORES,
    "*/seeds/0/metrics/*/values/*": "the numbers of the points once more",
    "*/seeds/0/points/*": NAMES,
    "*/seeds/0/seeds/*": NAMES,
    "*/equal_odds/*/acceptance/*": "the numbers of the points once more",
    "*/equal_odds/*/points/*": NAMES,
    "comparison/*/equal_odds/1/*": "seeds of one setting: its sd says it",
    "runs/*/equal_odds/0/*": "seeds of one setting: its sd says it",
    "*/trends/*/acceptance/*": "the numbers of the points once more",
    "*/trends/*/gammas/*": NAMES,
    "*/trends/*/points/*": NAMES,
    "*/trends/*/absent/*": NAMES,
    "*/trends/*/ratio": NAMES,
    "*/trends/*/variant": NAMES,
    "*/trends/*/seed": NAMES,
    "*/trends/*/weighted_class": NAMES,
    "*/trends/*/monotonic": "follows from the counts of pairs",
    "*/trends/3/page/reason": "now it counts the levels alone",
    "comparison/*/trends/[4-7]/*": "a line of one point has no row",
    "runs/without_baseline/*/trends/*": "a line of one point has no row",
    "runs/without_baseline/*/shift_line/points": "without a baseline there is no line",
}
SCORES = "scores are compared with scores, not with answers"
SLICE = "a slice has the intervals that the whole has"
CHANGES = {
    "*/control/*": SCORES,
    "*/theory/acceptance_minus_expected/*": SCORES,
    "points/*/metrics/by_year/*": SLICE,
    "comparison/*/shift_line/0/*": "the interval is over seeds and items",
    "*/criteria/*": "verdicts by whole intervals; open while a point may still come",
    "runs/without_baseline/*/baseline/reason": "in other words",
}
NEW = {
    "points/*": "metrics of every task in one shape",
    "runs/without_baseline/*/contrasts": "there are none without a baseline",
    f"{COMPARED}/contrasts/*": "every setting against the baseline's, every metric",
    f"{COMPARED}/settings/*": "means over seeds of every metric",
    f"{COMPARED}/points/*": "columns of points.csv, partial points, columns of further tables",
    f"{COMPARED}/[cst][ohr]*/*": "rows and columns of further tables",
    f"{COMPARED}/equal_odds/*": "columns of the table",
    f"{COMPARED}/baseline/setting": "a setting, not a point",
}
