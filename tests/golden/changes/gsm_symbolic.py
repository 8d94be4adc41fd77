"""Templated problems, analysed by one engine over tables. See `tests.golden.changes`."""

from itertools import product

from tests.golden.changes import AGGREGATED

VIEW = "a view of the tables: metrics of every task in one shape"
COUNTS = "counts of a rate: the share of all rows"
TABLE = "a row of a table"
COMPARED = "comparison/aggregated_metrics.json"

# A point's own metrics, and where the comparison repeated them.
SET = rf"^(?:points/([^/]+)/metrics|{AGGREGATED}/points/([^/]+))/sets/(\w+)"
METRICS = r"points/\1\2/metrics/sets/\3/metrics"
RATE = "(value|low|high|method)$"
RENAMES = {
    f"{SET}/rows$": (r"points/\1\2/metrics/sets/\3/rows", VIEW),
    f"{SET}/accuracy/{RATE}": (rf"{METRICS}/accuracy/\4", VIEW),
    rf"{SET}/votes/(\w+)/subsets/(\d)/{RATE}": (rf"{METRICS}/\4_\5/\6", VIEW),
    rf"{SET}/votes/(\w+)/first/(\d)/{RATE}": (rf"{METRICS}/\4_\5_first/\6", VIEW),
    rf"{SET}/first_seen/(\d)/{RATE}": (rf"{METRICS}/first_seen_\4/\5", VIEW),
    rf"{SET}/gain/(majority|weighted)/{RATE}": (rf"{METRICS}/\4_gain/\5", VIEW),
    rf"{SET}/gain/best_over_majority/{RATE}": (rf"{METRICS}/best_gain/\4", VIEW),
    f"{SET}/unique/mean$": (rf"{METRICS}/unique/value", VIEW),
    f"{SET}/reward/auc/{RATE}": (rf"{METRICS}/reward_auc/\4", VIEW),
    f"{SET}/solvable$": (f"{METRICS}/solvable/value", COUNTS),
    rf"{SET}/failures/(\w+)$": (rf"{METRICS}/\4_failures/value", COUNTS),
    f"{SET}/no_number/greedy$": (f"{METRICS}/parsed/value", "1 − the share of these"),
    f"{SET}/no_number/samples$": (f"{METRICS}/parsed_samples/value", "1 − the share of these"),
}
SHARES = {
    f"({SET})/(solvable|failures/.*)$": (r"\1/rows", "share"),
    f"({SET})/no_number/greedy$": (r"\1/rows", "rest"),
    r"^(.*)/sets/(\w+)/no_number/samples$": (r"\1/sets/\2/rows × \1/samples", "rest"),
}

# Further tables, of all sets together.
ALL = rf"^(?:points/([^/]+)/metrics|{AGGREGATED}/points/([^/]+))/sets/all"
RENAMES |= {
    rf"{ALL}/unique/questions/(\d)$": (
        r"comparison/unique_answers.csv/\1\2, \3/questions", TABLE),
}  # fmt: skip
for old, new in {"right": "yes", "wrong": "no"}.items():
    row = rf"comparison/rewards.csv/\1\2, {new}, "
    RENAMES[rf"{ALL}/reward/{old}/(mean|samples)$"] = (rf"{row}0.0/\3", TABLE)
    for place in range(5):
        RENAMES[rf"{ALL}/reward/{old}/quantiles/{place}$"] = (f"{row}{place / 4}/reward", TABLE)
TRANSFER = rf"^{AGGREGATED}/points/([^/]+)/transfer/(\w+)"
RENAMES |= {
    rf"{TRANSFER}/value$": (r"comparison/transfer.csv/\1, \2/difference", TABLE),
    rf"{TRANSFER}/(low|high)$": (r"comparison/transfer.csv/\1, \2/difference_\3", TABLE),
}

# Differences from the model that was tuned: settings, of seeds those that both have.
METRIC = {"accuracy": "accuracy", "majority": "chosen_majority", "best": "chosen_best"}
PAIRS = {
    "full_1b_lr1e-05_keepbest": "base_1b",
    "full_4b_lr5e-06_keepbest": "base_4b",
    "lora_1b_lr0.0001_keepbest": "base_1b",
}
for (setting, base), (old, new) in product(PAIRS.items(), METRIC.items()):
    if (base, old) == ("base_4b", "best"):
        continue  # without rewards
    difference = rf"^({AGGREGATED})/points/{setting}_seed42/differences/(\w+)/{old}"
    contrast = rf"\1/contrasts/same model/\2.{new}/{setting} − {base}"
    RENAMES |= {
        f"{difference}/value$": (f"{contrast}/difference", VIEW),
        f"{difference}/(low|high|p_holm)$": (rf"{contrast}/\3", VIEW),
        f"{difference}/items$": (f"{contrast}/n", VIEW),
        f"{difference}/p_value$": (f"{contrast}/p", VIEW),
    }
ONE_SEED = r"(base_\w+|full_1b[\w.-]+keepbest)(?:_seed42)?"
RENAMES |= {
    rf"^(?:points|{AGGREGATED}/points)/{ONE_SEED}(?:/metrics)?/sets/(\w+)/reward/questions$": (
        rf"{COMPARED}/settings/\1/metrics/\2.reward_auc/n", VIEW),
    f"{SET}/templates$": (
        rf"{COMPARED}/contrasts/same model/\3.accuracy/full_1b_lr1e-05_keepbest − base_1b/units",
        "independent units, the same of every point"),
    r"^(points/[^/]+/metrics)/metrics/accuracy/": (r"\1/sets/all/metrics/accuracy/", VIEW),
    rf"^({AGGREGATED}/points/[^/]+)/variant$": (r"\1/values/variant", "said twice"),
    rf"^({AGGREGATED}/points/[^/]+)/values/seed$": (r"\1/seed", "a column of every study"),
    rf"^{AGGREGATED}/points/([^/]+)/rows$": (r"points/\1/metrics/rows", VIEW),
    rf"^({AGGREGATED}/baseline)/name$": (r"\1/setting", "a setting"),
    f"^{AGGREGATED}/rows$": (r"points/base_1b/metrics/rows", "rows of a whole point"),
    rf"^{AGGREGATED}/sets/(\w+)$": (r"points/base_1b/metrics/sets/\1/rows", "likewise"),
}  # fmt: skip

REMOVED = {
    "comparison/*.csv/*": "the numbers of the JSON once more",
    "comparison/samples_*": "the predictions once more",
    f"{COMPARED}/criteria/*/criterion": "claims of the study file in place of criteria in code",
    f"{COMPARED}/criteria/*/number*": "numbers of a sentence; they are those of differences, gains",
    f"{COMPARED}/criteria/*/verdict": "a claim is of all tuned settings of a model, not of a point",
    f"{COMPARED}/points/*_seed43/differences/*": "seed with seed: the base model has 42 alone",
    f"{COMPARED}/points/*/differences/*/only_*": "counts of McNemar's test",
    f"{COMPARED}/points/*/reference": "names: a contrast has both",
    f"{COMPARED}/families/*": "sizes of Holm's families: rows of contrasts.csv",
    "*/judge": "of the configuration",
    "*/model": "of the configuration",
    "*/tuned": "of the configuration",
    "points/*/metrics/samples": "of the configuration",
    "*_seed4[23]/samples": "of the configuration",
    "*/base_[14]b/samples": "of the configuration",
    "*/draws/*": "of the configuration",
    "points/*/metrics/subsets/*": "binomials of the configuration",
    "*/judge_unread": "what the samples of rewards.csv are short of all",
    "*/sets/*/gain/best/*": "of best-of-n over one sample: majority_gain and best_gain, added",
    "*/sets/[ins]*/reward/right/*": "rewards are shown of all sets together",
    "*/sets/[ins]*/reward/wrong/*": "rewards are shown of all sets together",
    "*/sets/[ins]*/unique/questions/*": "counts are shown of all sets together",
    "*/lora_1b*/reward/questions": "one number a setting, of its two seeds",
    "*/short*/templates": "a partial point is in no contrast",
    "*/short*/reward/*": "a partial point is in no setting and in no further table",
    "*/short*/unique/questions/*": "a partial point is in no setting and in no further table",
}
CHANGES = {
    f"{COMPARED}/contrasts/same model/*/p_holm": "a family has one test a setting, not one a seed",
}
NEW = {
    "points/*": "metrics of every task in one shape: methods, all metrics of a set",
    "comparison/*.csv/*": "further columns of tables",
    f"{COMPARED}/contrasts/*": "every setting against the baseline's, every metric",
    f"{COMPARED}/settings/*": "means over seeds",
    f"{COMPARED}/points/*": "columns of points.csv, more metrics",
    f"{COMPARED}/criteria/*": "claims of the study file",
}
