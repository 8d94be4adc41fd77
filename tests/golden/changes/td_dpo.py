"""Preferences and MT-Bench, analysed by one engine over tables. See `tests.golden.changes`."""

VIEW = "a view of the tables: the metrics of every task in one shape"
SEEDS = (
    "comparisons are views of the tables: settings by name, contrasts by family and metric, same "
    "seed with same seed, intervals over seeds and items, claims in place of criteria"
)
CHANGES = {
    "comparison/*": SEEDS,
    "points/*/metrics/by_source/*": "a slice is resampled with the whole set",
    "points/*/metrics/metrics/scored/*": "new: the share of pairs with log-probabilities",
    "points/*/metrics_mt_bench/*by_category/*": "a slice is resampled with the whole set",
    "points/*/metrics_mt_bench/categories/*": "intervals are those of by_category; n went",
    "points/*/metrics_mt_bench/intervals/*": "an interval of nothing is two nulls",
    "points/few_beta0.05_seed42/metrics_mt_bench/*": "not judged: all metrics are null",
    "points/*/metrics_mt_bench/n": "the same as n_judged",
    "points/*/metrics_mt_bench/metrics/*/method": "new: how the interval was made",
    "points/*/metrics_mt_bench/metrics/parsed/*": "new: the share of turns with a rating",
    "points/*/metrics_mt_bench/metrics/score*/low": "new where there is no interval",
    "points/*/metrics_mt_bench/metrics/score*/high": "new where there is no interval",
}
POINT = "(points/[^/]+/metrics)"
RENAMES = {
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

SHARES = {}
REMOVED = {}
NEW = {}
