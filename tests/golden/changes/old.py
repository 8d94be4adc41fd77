"""What was changed on purpose since the numbers were frozen, each kind of change with its reason.

CHANGES: pattern (fnmatch) of "study: path" → reason. Write the line, run
`python -m tests.golden.make`, and look at what it puts into changed.json: the new values, which are
compared from then on. The files with the frozen values stay as they are.

    "weighted_loss: */control/accuracy_difference/*": "constant differences get Tango's interval"

RENAMES: regular expression of a path → (replacement, reason), for names alone: the numbers there
are compared with the frozen ones as before.

    r"/unscored$": ("/without_scores", "one word with the column of predictions")

An entry that nothing falls under fails.
"""

MOVED = (
    "moved into the tables, whose tree the JSON is: settings, contrasts, one row a further table"
)
ONE_ENGINE = (
    "one row a point over the tables: names of columns, partial points with their estimates"
)

CHANGES: dict[str, str] = {
    "weighted_loss: points/*/by_year/*/unknown": "1 − `parsed`, a metric as any other",
    "weighted_loss: points/*/by_year/*": "a slice has the metrics and intervals that the whole has",
    "weighted_loss: points/*/metrics/parsed/*": "the share of answers that could be parsed: new",
    "weighted_loss: */criteria/*": "claims of the study file in place of criteria in code",
    "weighted_loss: */theory/acceptance*": "scores are compared with scores, not with answers",
    "weighted_loss: */theory/*": "a point without scores has no row",
    "weighted_loss: */control/*": "scores are compared with scores; McNemar's counts are left out",
    "weighted_loss: */points/*/metrics/*": "partial points have theirs; `parsed` is new; no nulls",
    "weighted_loss: comparison/aggregated_metrics.csv/*": ONE_ENGINE,
    "weighted_loss: runs/*/aggregated_metrics.csv/*": ONE_ENGINE,
    "weighted_loss: comparison/aggregated_metrics.json/*": MOVED,
    "weighted_loss: runs/*/aggregated_metrics.json/*": MOVED,
    "weighted_loss: */significance.json/*": "new: contrasts of every task by family",
    "weighted_loss: */summary.csv/*": "new: the flat rows by the name that people look for",
    "weighted_loss: */final_metrics*": "new: final_metrics is a view of the tables of every task",
}
JSON = "^((?:comparison|runs/[^/]+)/aggregated_metrics.json)"
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

# -- td_dpo ---------------------------------------------------------------------------------------

VIEW = "a view of the tables: the metrics of every task in one shape"
SEEDS = (
    "comparisons are views of the tables: settings by name, contrasts by family and metric, same "
    "seed with same seed, intervals over seeds and items, claims in place of criteria"
)
CHANGES |= {
    "td_dpo: comparison/*": SEEDS,
    "td_dpo: points/*/metrics/by_source/*": "a slice is resampled with the whole set",
    "td_dpo: points/*/metrics/metrics/scored/*": "new: the share of pairs with log-probabilities",
    "td_dpo: points/*/metrics_mt_bench/*by_category/*": "a slice is resampled with the whole set",
    "td_dpo: points/*/metrics_mt_bench/categories/*": "intervals are those of by_category; n went",
    "td_dpo: points/*/metrics_mt_bench/intervals/*": "an interval of nothing is two nulls",
    "td_dpo: points/few_beta0.05_seed42/metrics_mt_bench/*": "not judged: all metrics are null",
    "td_dpo: points/*/metrics_mt_bench/n": "the same as n_judged",
    "td_dpo: points/*/metrics_mt_bench/metrics/*/method": "new: how the interval was made",
    "td_dpo: points/*/metrics_mt_bench/metrics/parsed/*": "new: the share of turns with a rating",
    "td_dpo: points/*/metrics_mt_bench/metrics/score*/low": "new where there is no interval",
    "td_dpo: points/*/metrics_mt_bench/metrics/score*/high": "new where there is no interval",
}
POINT = "(points/[^/]+/metrics)"
RENAMES |= {
    rf"{POINT}/kl/(\w+)/": (r"\1/metrics/kl_\2/", VIEW),
    rf"{POINT}/margin/mean/": (r"\1/metrics/margin/", VIEW),
    rf"{POINT}/margin/quantiles": (r"\1/margin_quantiles", VIEW),
    rf"{POINT}/by_source/([^/]+)/accuracy/": (r"\1/by_source/\2/metrics/accuracy/", VIEW),
    rf"{POINT}_mt_bench/mean$": (r"\1_mt_bench/metrics/score/value", VIEW),
    rf"{POINT}_mt_bench/turn(\d)$": (r"\1_mt_bench/metrics/score_turn_\2/value", VIEW),
    rf"{POINT}_mt_bench/intervals/mean/0": (r"\1_mt_bench/metrics/score/low", VIEW),
    rf"{POINT}_mt_bench/intervals/mean/1": (r"\1_mt_bench/metrics/score/high", VIEW),
    rf"{POINT}_mt_bench/intervals/turn(\d)/0": (r"\1_mt_bench/metrics/score_turn_\2/low", VIEW),
    rf"{POINT}_mt_bench/intervals/turn(\d)/1": (r"\1_mt_bench/metrics/score_turn_\2/high", VIEW),
    rf"{POINT}_mt_bench/bounds/0": (r"\1_mt_bench/metrics/score_if_failures_were_1/value", VIEW),
    rf"{POINT}_mt_bench/bounds/1": (r"\1_mt_bench/metrics/score_if_failures_were_10/value", VIEW),
    rf"{POINT}/mt_bench/": (r"\1/mt_bench.score/", VIEW),
    rf"{POINT}/mt_bench_turn(\d)/": (r"\1/mt_bench.score_turn_\2/", VIEW),
    rf"{POINT}_mt_bench/categories/(\w+)/mean$": (
        r"\1_mt_bench/by_category/\2/metrics/score/value", VIEW),
    rf"{POINT}_mt_bench/categories/(\w+)/turn(\d)$": (
        r"\1_mt_bench/by_category/\2/metrics/score_turn_\3/value", VIEW),
}  # fmt: skip

# Variance over β: one table of the lines of both metrics, the reduction beside each.
VARIANCE = "^(comparison/aggregated_metrics.json/variance)"
ROWS = {"accuracy": 0, "mt_bench": 7}  # metric → its first row
RENAMES |= {
    rf"{VARIANCE}/{metric}/lines/{line}/variance/": (rf"\1/{first + line}/variance/", "one table")
    for metric, first in ROWS.items()
    for line in range(6)
}
RENAMES |= {
    rf"{VARIANCE}/{metric}/reductions/{place}/(value|low|high)$": (
        rf"\1/{first + row}/reduction/\2", "one table")
    for metric, first in ROWS.items()
    for place, row in enumerate((1, 2, 3, 4, 6, 5))
}  # fmt: skip

# -- iw_lora --------------------------------------------------------------------------------------

CHANGES |= {
    "iw_lora: comparison/*": SEEDS,
    "iw_lora: points/*/metrics/set": "the first of the sets",
    "iw_lora: points/*/metrics/rows": "new: of all sets together",
    "iw_lora: points/*/metrics/sets/dev/metrics/*": "a single set is said once, as the metrics",
    "iw_lora: points/*/metrics/metrics/*/method": "an interval of nothing has no method",
    "iw_lora: points/*/metrics/sets/*/metrics/*/method": "an interval of nothing has no method",
}
IN_WORDS = "settings and sets by name"
LORA = ("lora_alpha0", "adalora", "iw_lora_alpha0.0001_beta1_normalisesum",
        "iw_lora_alpha0.001_beta1_normalisesum")  # fmt: skip
SETTINGS = "^(comparison/aggregated_metrics.json)/settings"
METHODS = "^(comparison/aggregated_metrics.json)/methods"
RENAMES |= {
    rf"{POINT}/sets/(matched|mismatched)/": (r"\1/sets/mnli/\2/", IN_WORDS),
    rf"{POINT}/sets/dev/(clusters|confusion|majority)": (r"\1/sets/rte/dev/\2", IN_WORDS),
    rf"{POINT}/sets/dev/rows$": (r"\1/rows", IN_WORDS),
}
for place, label in enumerate(LORA):
    value = rf"\1/settings/{label}/metrics"
    RENAMES |= {
        rf"{METHODS}/{place}/accuracy/mean$": (f"{value}/mean.accuracy/value", IN_WORDS),
        rf"{METHODS}/{place}/accuracy/sd$": (f"{value}/mean.accuracy/sd", IN_WORDS),
    }
    for task, number in (("mnli", 2 * place), ("rte", 2 * place + 1)):
        RENAMES |= {
            rf"{SETTINGS}/{number}/sets/(\w+)/(accuracy|f1)/mean$": (
                rf"{value}/{task}/\2.\3/value", IN_WORDS),
            rf"{SETTINGS}/{number}/sets/(\w+)/(accuracy|f1)/sd$": (
                rf"{value}/{task}/\2.\3/sd", IN_WORDS),
        }  # fmt: skip
for kind, place in (("adalora", 1), ("lora", 0)):
    pair = rf"\1/contrasts/claims/mean.accuracy/{LORA[2]} − {LORA[place]}"
    against = rf"^(comparison/aggregated_metrics.json)/against/{kind}"
    RENAMES[f"{against}/value$"] = (f"{pair}/difference", "what claims compare")
    RENAMES[f"{against}/(low|high)$"] = (rf"{pair}/\2_items", "over items alone")
# IW-LoRA − LoRA on MNLI and IW-LoRA − AdaLoRA on RTE, where both have all their seeds.
for number, part, other in ((2, "mnli/matched", LORA[0]), (5, "rte/dev", LORA[1])):
    of = rf"^(comparison/aggregated_metrics.json)/significance/families/variants/members/{number}"
    pair = rf"\1/contrasts/variants/{part}.accuracy/{LORA[2]} − {other}"
    RENAMES[f"{of}/difference/value$"] = (f"{pair}/difference", IN_WORDS)
    RENAMES[f"{of}/difference/(low|high)$"] = (rf"{pair}/\2_items", "over items alone")
    RENAMES[f"{of}/p_value$"] = (f"{pair}/p", IN_WORDS)
