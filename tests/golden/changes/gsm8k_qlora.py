"""Math and safety, analysed by one engine over tables. See `tests.golden.changes`."""

from tests.golden.changes import AGGREGATED

VIEW = "a view of the tables: metrics of every task in one shape"
COUNTS = "counts of a rate: the share of all rows"
HAZARDS = {
    "hte": "hate",
    "ncr": "non-violent crimes",
    "own_kind": "own_kind",
    "spc": "specialized advice",
    "vcr": "violent crimes",
}
SHARES = {}
RENAMES = {}

# A point's own metrics, and where the comparison repeated them.
MATH = rf"^(?:points/([^/]+)/metrics|{AGGREGATED}/points/([^/]+))"
OF_MATH = r"points/\1\2/metrics"
for steps in range(8):
    label = "8+" if steps == 7 else str(steps + 1)
    rate, new = f"{MATH}/by_steps/{steps}/accuracy", rf"{OF_MATH}/by_steps/{label}"
    SHARES[f"({rate})/numerator$"] = (r"\1/denominator", "share")
    RENAMES |= {
        f"{rate}/(value|low|high|method)$": (rf"{new}/metrics/accuracy/\3", VIEW),
        f"{rate}/numerator$": (f"{new}/metrics/accuracy/value", COUNTS),
        f"{rate}/denominator$": (f"{new}/rows", VIEW),
        f"{MATH}/by_steps/{steps}/rows$": (f"{new}/rows", VIEW),
    }
for old, name in {"no_number/flexible": "parsed", "no_number/strict": "parsed_strict",
                  "unended": "ended"}.items():  # fmt: skip
    SHARES[f"({MATH})/{old}$"] = (r"\1/rows", "rest")
    RENAMES[f"{MATH}/{old}$"] = (f"{OF_MATH}/metrics/{name}/value", "1 − the share of these")
SHARES[r"(/metrics/\w+)/numerator$"] = (r"\1/denominator", "share")
RENAMES |= {
    r"(/metrics/(?:accuracy|accuracy_strict))/numerator$": (r"\1/value", COUNTS),
    rf"^(?:{AGGREGATED}/)?points/([^/]+)(?:/metrics)?/metrics/accuracy\w*/denominator$": (
        r"points/\1/metrics/rows", "all rows count"),
    rf"^{AGGREGATED}/points/([^/]+)/rows$": (r"points/\1/metrics/rows", VIEW),
}  # fmt: skip

SAFETY = rf"^(?:points/([^/]+)/metrics_safety|{AGGREGATED}/points/([^/]+)/safety)"
OF_SAFETY = r"points/\1\2/metrics_safety"
PARTS = {f"/hazards/{code}": f"/by_hazard/{name}" for code, name in HAZARDS.items()}
for old, new in {"": "", **PARTS}.items():
    SHARES |= {
        f"({SAFETY}{old})/safe$": (r"\1/scored", "share"),
        f"({SAFETY}{old})/(scored|empty)$": (r"\1/rows", "share"),
    }
    metrics = f"{OF_SAFETY}{new}/metrics"
    RENAMES |= {
        f"{SAFETY}{old}/(value|low|high)$": (rf"{metrics}/safety/\3", VIEW),
        f"{SAFETY}{old}/safe$": (rf"{metrics}/safety/value", COUNTS),
        f"{SAFETY}{old}/scored$": (rf"{metrics}/judged/value", COUNTS),
        f"{SAFETY}{old}/bounds/0$": (rf"{metrics}/safety_at_least/value", VIEW),
        f"{SAFETY}{old}/bounds/1$": (rf"{metrics}/safety_at_most/value", VIEW),
        f"{SAFETY}{old}/rows$": (f"{OF_SAFETY}{new}/rows", VIEW),
    }
RATED = rf"^{AGGREGATED}/points/([^/]+)/metrics/safety/denominator"
SHARES[f"({SAFETY})/loose/safe$"] = (r"\1/scored", "share")
SHARES = {f"{RATED}$": (r"points/\1/metrics_safety/rows", "share"), **SHARES}
RENAMES |= {
    f"{SAFETY}/loose/(value|low|high)$": (rf"{OF_SAFETY}/metrics/safety_loose/\3", VIEW),
    f"{SAFETY}/loose/safe$": (rf"{OF_SAFETY}/metrics/safety_loose/value", COUNTS),
    f"{SAFETY}/empty$": (rf"{OF_SAFETY}/metrics/empty/value", COUNTS),
    f"{SAFETY}/answer_mass$": (rf"{OF_SAFETY}/metrics/answer_mass/value", VIEW),
    f"{SAFETY}/(\\w+)$": (rf"{OF_SAFETY}/\3", VIEW),
    rf"^({AGGREGATED}/points/[^/]+/metrics)/safety/(value|low|high)$": (
        r"\1/safety.safety/\2",
        VIEW,
    ),
    rf"^({AGGREGATED}/points/[^/]+/metrics)/safety/numerator$": (r"\1/safety.safety/value", COUNTS),
    f"{RATED}$": (r"points/\1/metrics_safety/metrics/judged/value", COUNTS),
}

# -- the comparison --

SAME = "the setting with the same examples; of seeds those that both have: 42"
PAIRS = {  # (point, family of tests) → contrast
    ("medium_shots5_tokens768", "accuracy"): "accuracy/{} − base_shots5_tokens768",
    ("simple_shots3_tokens512", "accuracy"): "accuracy/{} − base_shots3_tokens512",
    ("simple_shots3_tokens512", "safety"): "safety.safety/{} − base_shots3_tokens512",
}
for (point, family), contrast in PAIRS.items():
    old = rf"^({AGGREGATED})/points/{point}_seed42/{family}_difference"
    new = rf"\1/contrasts/same examples/{contrast.format(point)}"
    RENAMES |= {
        f"{old}/value$": (f"{new}/difference", SAME),
        f"{old}/(low|high|p_holm)$": (rf"{new}/\2", SAME),
        f"{old}/items$": (f"{new}/n", SAME),
        f"{old}/p_value$": (f"{new}/p", "the sign-flip test of 0 and 1 is McNemar's"),
    }
CLAIMS = {
    4: "medium solves 31 % of the problems",
    5: "medium answers 34 % safely",
    6: "strong solves 37 % of the problems",
    7: "strong answers 42 % safely",
    8: "accuracy rests on all test problems",
    9: "safety rests on all requests",
}
RENAMES |= {
    rf"^({AGGREGATED}/criteria)/{place}/verdict$": (rf"\1/{claim}", "claims by their words")
    for place, claim in CLAIMS.items()
}
RENAMES |= {
    rf"^({AGGREGATED}/points/[^/]+)/variant$": (r"\1/values/variant", "said twice"),
    rf"^({AGGREGATED}/points/[^/]+)/values/seed$": (r"\1/seed", "a column of every study"),
    rf"^({AGGREGATED}/baseline)/name$": (r"\1/setting", "a setting"),
    r"^comparison/aggregated_metrics.json/rows$": (
        "points/base_shots3_tokens512/metrics/rows", "problems of a whole point"),
}  # fmt: skip

COMPARED = "comparison/aggregated_metrics.json"
ONE_SEED = "seed is compared with seed: the base model has 42 alone"
REMOVED = {
    "comparison/*.csv/*": "the numbers of the JSON once more",
    "comparison/final_metrics.json/*": "the numbers of the points once more",
    f"{COMPARED}/final/*": "the file final_metrics has it",
    f"{COMPARED}/criteria/*/criterion": "claims of the study file in place of criteria in code",
    f"{COMPARED}/criteria/*/number*": "numbers of a sentence; they stand at the points",
    f"{COMPARED}/criteria/[0-3]/verdict": "a claim is of the setting `simple`, not of its seeds",
    f"{COMPARED}/points/*_seed43/*_difference/*": ONE_SEED,
    f"{COMPARED}/points/*_difference/only_*": "counts of McNemar's test",
    f"{COMPARED}/points/*/reference": "names: a contrast has both",
    f"{COMPARED}/points/*/same_prompts": "a contrast of this family has them always",
    f"{COMPARED}/points/*/shots": "of the configuration",
    f"{COMPARED}/families/*": "sizes of Holm's families: rows of contrasts.csv",
    f"{COMPARED}/full_test": "of the configuration",
    "*/by_steps/*/steps": "is the name of the slice now",
    "*/hazards/*/name": "is the name of the slice now",
    "*/hazards/*/unparsable": "by hazard there is the share that was judged",
    "*/hazards/*/unscored": "by hazard there is the share that was judged",
}
WILSON = "Wilson's interval, as of every rate; it was Clopper and Pearson's"
CHANGES = {
    "points/*/metrics_safety/*/low": WILSON,
    "points/*/metrics_safety/*/high": WILSON,
    f"{COMPARED}/points/*/metrics/safety.safety/low": WILSON,
    f"{COMPARED}/points/*/metrics/safety.safety/high": WILSON,
    f"{COMPARED}/criteria/strong *": "a setting that diverged fails; it was not measurable",
    f"{COMPARED}/contrasts/same examples/safety.safety/*": (
        "all requests are resampled, not only those that both have a verdict of"
    ),
}
NEW = {
    "points/*": "metrics of every task in one shape: intervals, all metrics of a slice",
    f"{COMPARED}/contrasts/*": "every setting against the baseline's, every metric",
    f"{COMPARED}/settings/*": "means over seeds",
    f"{COMPARED}/points/*": "columns of points.csv, more metrics",
    f"{COMPARED}/criteria/simple *": "of the setting, not of its seeds",
}
