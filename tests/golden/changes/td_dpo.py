"""Preferences and MT-Bench, analysed by one engine over tables. See `tests.golden.changes`."""

from itertools import product

from tests.golden.changes import AGGREGATED

VIEW = "a view of the tables: metrics of every task in one shape"
TABLE = "a row of a table"
COMPARED = "comparison/aggregated_metrics.json"

# -- points ---------------------------------------------------------------------------------------

PAIRS = rf"^(?:points/([^/]+)/metrics|{AGGREGATED}/points/([^/]+))"
TURNS = rf"^(?:points/([^/]+)/metrics_mt_bench|{AGGREGATED}/points/([^/]+)/mt_bench)"
OF_PAIRS, OF_TURNS = r"points/\1\2/metrics", r"points/\1\2/metrics_mt_bench"
WHOLE = rf"^({AGGREGATED}/points/[^/]+)/metrics"
RENAMES = {
    rf"{PAIRS}/kl/(\w+)/": (rf"{OF_PAIRS}/metrics/kl_\3/", VIEW),
    f"{PAIRS}/margin/mean/": (f"{OF_PAIRS}/metrics/margin/", VIEW),
    f"{PAIRS}/(?:margin/quantiles|margin_quantiles)": (f"{OF_PAIRS}/margin_quantiles", VIEW),
    f"{PAIRS}/by_source/([^/]+)/accuracy/": (rf"{OF_PAIRS}/by_source/\3/metrics/accuracy/", VIEW),
    f"{PAIRS}/by_source/([^/]+)/rows$": (rf"{OF_PAIRS}/by_source/\3/rows", VIEW),
    f"{PAIRS}/(unscored|rows)$": (rf"{OF_PAIRS}/\3", VIEW),
    f"{WHOLE}/mt_bench/": (r"\1/metrics/mt_bench.score/", VIEW),
    rf"{WHOLE}/mt_bench_turn(\d)/": (r"\1/metrics/mt_bench.score_turn_\2/", VIEW),
    f"^({AGGREGATED}/points/[^/]+)/(beta|tau)$": (r"\1/values/\2", "said twice"),
    f"^({AGGREGATED}/points/[^/]+)/values/seed$": (r"\1/seed", "a column of every study"),
    f"^{AGGREGATED}/rows$": ("points/dpo_beta0.05_seed42/metrics/rows", "of a whole point"),
}
for old, name in {"mean": "score", "turn1": "score_turn_1", "turn2": "score_turn_2"}.items():
    RENAMES |= {
        f"{TURNS}/{old}$": (f"{OF_TURNS}/metrics/{name}/value", VIEW),
        f"{TURNS}/intervals/{old}/0$": (f"{OF_TURNS}/metrics/{name}/low", VIEW),
        f"{TURNS}/intervals/{old}/1$": (f"{OF_TURNS}/metrics/{name}/high", VIEW),
    }
    category, now = rf"{TURNS}/categories/(\w+)", rf"{OF_TURNS}/by_category/\3/metrics/{name}"
    RENAMES |= {
        f"{category}/{old}$": (f"{now}/value", VIEW),
        f"{category}/intervals/{old}/0$": (f"{now}/low", VIEW),
        f"{category}/intervals/{old}/1$": (f"{now}/high", VIEW),
    }
for place, rating in enumerate((1, 10)):
    RENAMES[f"{TURNS}/bounds/{place}$"] = (
        f"{OF_TURNS}/metrics/score_if_failures_were_{rating}/value", VIEW)  # fmt: skip
RENAMES[f"{TURNS}/(?:n|n_judged)$"] = (f"{OF_TURNS}/n_judged", "said twice")
RENAMES[rf"{TURNS}/(\w+)$"] = (rf"{OF_TURNS}/\3", VIEW)

# -- settings and contrasts -----------------------------------------------------------------------

SETTINGS = (
    "dpo_beta0.01", "dpo_beta0.05", "dpo_beta2.5", "discopop_beta0.05", "discopop_beta2.5",
    "td_dpo_beta0.01_tau0.5", "td_dpo_beta0.05_tau0.5", "td_dpo_beta0.05_tau1",
    "td_dpo_beta0.05_tau2", "td_dpo_beta2.5_tau0.5", "td_dpo_beta2.5_tau1", "td_dpo_beta2.5_tau2",
    "few_beta0.05",
)  # fmt: skip
BASELINE = "dpo_beta0.05"
OTHERS = [setting for setting in SETTINGS if setting != BASELINE]
SEVERAL = SETTINGS.index(BASELINE)  # the one setting of two seeds that are done
# Members of the family of methods: the line of a, and that of b, at one β.
METHODS = [
    *(("discopop_beta{}", "dpo_beta{}", beta) for beta in (0.05, 2.5)),
    *(("td_dpo_beta{}_tau0.5", "dpo_beta{}", beta) for beta in (0.01, 0.05, 2.5)),
    *((f"td_dpo_beta{{}}_tau{tau}", "dpo_beta{}", beta) for tau in (1, 2) for beta in (0.05, 2.5)),
    ("few_beta{}", "dpo_beta{}", 0.05),
    *((f"td_dpo_beta{{}}_tau{tau}", "discopop_beta{}", beta)
      for tau in (0.5, 1, 2) for beta in (0.05, 2.5)),
    ("few_beta{}", "discopop_beta{}", 0.05),
    *(("few_beta{}", f"td_dpo_beta{{}}_tau{tau}", 0.05) for tau in (0.5, 1, 2)),
]  # fmt: skip
FIELDS = {
    "difference/value": "difference", "difference/low": "low", "difference/high": "high",
    "p_value": "p", "p_holm": "p_holm", "items": "n", "independent": "units",
}  # fmt: skip
NOTHING: list[str] = []  # members of no contrast: a side has no value


def as_contrast(member: str, family: str, metric: str, a: str, b: str) -> None:
    """Rename the numbers of a comparison; note where a point lacks what is compared."""
    sides = (a, b)
    if "few_beta0.05" in sides or (metric == "accuracy" and "discopop_beta0.05" in sides):
        NOTHING.append(member)
        return
    now = f"{COMPARED}/contrasts/{family}/{metric}/{a} − {b}"
    for old, new in FIELDS.items():
        RENAMES[rf"^{member}/{old}$"] = (f"{now}/{new}", TABLE)


for (ending, old, metric), root in product(
    (("", "accuracy", "accuracy"), ("_mt_bench", "mt_bench", "mt_bench.score")),
    ("comparison/significance.json", f"{COMPARED}/significance"),
):
    for place, setting in enumerate(OTHERS):
        member = f"{root}/families/baseline{ending}/members/{place}"
        as_contrast(member, "baseline", metric, setting, BASELINE)
        member = f"{COMPARED}/settings/{SETTINGS.index(setting)}/against_baseline/{old}"
        as_contrast(member, "baseline", metric, setting, BASELINE)
    for place, (a, b, beta) in enumerate(METHODS):
        member = f"{root}/families/methods{ending}/members/{place}"
        as_contrast(member, "methods", metric, a.format(beta), b.format(beta))
    as_contrast(f"{COMPARED}/low_beta/{old}", "baseline", metric, "td_dpo_beta0.01_tau0.5",
                BASELINE)  # fmt: skip
    RENAMES.pop(rf"^{COMPARED}/low_beta/{old}/p_holm$", None)
CALLED = {"mt_bench_turn1": "mt_bench.score_turn_1", "mt_bench_turn2": "mt_bench.score_turn_2",
          "mt_bench": "mt_bench.score", r"(\w+)": r"\1"}  # fmt: skip
for place, setting in enumerate(SETTINGS):
    old, new = f"^{COMPARED}/settings/{place}", f"{COMPARED}/settings/{setting}/metrics"
    for name, now in CALLED.items():
        RENAMES |= {
            f"{old}/metrics/{name}/mean$": (f"{new}/{now}/value", TABLE),
            f"{old}/metrics/{name}/sd$": (f"{new}/{now}/sd", TABLE),
        }
        if place != SEVERAL:
            RENAMES[f"{old}/metrics/{name}/values/0$"] = (f"{new}/{now}/value", "of one seed")
    for name, now in {"accuracy": "accuracy", "mt_bench": "mt_bench.score"}.items():
        RENAMES[f"{old}/interval/{name}/(value|low|high)$"] = (rf"{new}/{now}/\1", TABLE)
    if setting not in (BASELINE, "few_beta0.05"):  # of two seeds; partial, in no setting
        RENAMES[f"{old}/validation_accuracy$"] = (
            f"{COMPARED}/points/{setting}_seed42/validation_accuracy", "of one seed")  # fmt: skip

# Variance over β: one table of the lines of both metrics, the reduction beside each.
VARIANCE = f"^({COMPARED}/variance)"
for metric, first in {"accuracy": 0, "mt_bench": 7}.items():  # metric → its first row
    for line in range(6):
        RENAMES[f"{VARIANCE}/{metric}/lines/{line}/variance/"] = (
            rf"\1/{first + line}/variance/", TABLE)  # fmt: skip
    for place, row in enumerate((1, 2, 3, 4, 6, 5)):
        RENAMES[f"{VARIANCE}/{metric}/reductions/{place}/(value|low|high)$"] = (
            rf"\1/{first + row}/reduction/\2", TABLE)  # fmt: skip
CLAIMS = {
    0: "τ = 0.5 brings β = 0.01 up to the best-tuned DPO "
    "(at most 2 points below; ours, no bound is named)",
    1: "β = 2.5 with τ = 2 gains 1.5 MT-Bench points over DiscoPOP at that β",
    2: "β = 0.05 with τ = 1 is within 0.1 MT-Bench points of DPO",
    3: "the accuracy of TD-DPO varies 40 % less over β than that of DPO",
    4: "the MT-Bench score of TD-DPO varies 40 % less over β than that of DPO",
}
RENAMES |= {
    f"^({COMPARED}/criteria)/{place}/verdict$": (rf"\1/{claim}", "claims by their words")
    for place, claim in CLAIMS.items()
}

SHARES: dict[str, tuple[str, str]] = {}
RELATIVE = "a difference relative to the other side is not reported any more"
NAMES = "names and axis values, which points and labels have"
REMOVED = {
    "comparison/*.csv/*": "the numbers of the JSON once more",
    **{f"{member}/*": "nothing is compared: a side has no value" for member in NOTHING},
    "comparison/*/rate/*": RELATIVE,
    "comparison/*/standard_error": "the minimal detectable effect is 2.8 of them",
    f"{COMPARED}/criteria/*/criterion": "claims of the study file in place of criteria in code",
    f"{COMPARED}/criteria/*/number/*": "numbers of a sentence, those of contrasts",
    "comparison/*/members/*/[ab]": NAMES,
    "comparison/*/members/*/beta": NAMES,
    "comparison/*/members/*/points_*": NAMES,
    "comparison/*/against_baseline/*/[ab]": NAMES,
    "comparison/*/against_baseline/*/beta": NAMES,
    "comparison/*/against_baseline/*/points_*": NAMES,
    "comparison/*/families/*/size": "sizes of Holm's families: rows of contrasts.csv",
    "comparison/*/families/*/measure": NAMES,
    "comparison/significance.json/[alt]*": NAMES,
    f"{COMPARED}/significance/[alt]*": NAMES,
    f"{COMPARED}/baseline/label": NAMES,
    f"{COMPARED}/baseline/points/*": NAMES,
    f"{COMPARED}/lines/*": NAMES,
    f"{COMPARED}/mt_bench/*": "sums over points",
    f"{COMPARED}/points/*/label": NAMES,
    **{f"{COMPARED}/settings/*/{key}": NAMES for key in (
        "beta", "tau", "label", "line", "objective", "variant", "points/*", "seeds/*",
        "statuses/*", "diverged")},
    f"{COMPARED}/settings/{SEVERAL}/metrics/*/values/*": "of two seeds; they stand at the points",
    f"{COMPARED}/settings/{SEVERAL}/validation_accuracy": "of two seeds; at the points",
    **{f"{COMPARED}/variance/*/{key}": NAMES for key in (
        "label", "variant", "tau", "against", "betas/*", "left_out/*", "diverged/*", "absent/*",
        "reason")},
    f"{COMPARED}/variance/*/means/*": "the means of the settings once more",
    "*/categories/*/n": "by category there is the number of questions",
}  # fmt: skip
SEEDS = "same seed with same seed, intervals over seeds and items; it was the mean of all seeds"
HOLM = "families of other sizes or p-values, see there"
CHANGES = {
    f"{COMPARED}/contrasts/*/p_holm": HOLM,
    f"{COMPARED}/contrasts/*dpo_beta0.05/*": SEEDS,
    f"{COMPARED}/settings/dpo_beta0.05/metrics/*": "intervals are over seeds and items",
    "points/*/metrics/by_source/*": "a slice is resampled with the whole set",
}
NEW = {
    "points/*": "metrics of every task in one shape: intervals, methods, what was parsed",
    f"{COMPARED}/contrasts/*": "every setting against the baseline's, every metric",
    f"{COMPARED}/settings/*": "means over seeds of every metric",
    f"{COMPARED}/points/*": "columns of points.csv, more metrics",
    f"{COMPARED}/variance/*": "columns of the table",
    f"{COMPARED}/baseline/setting": "a setting, whose points it named",
    f"{COMPARED}/losses": "a further table",
    f"{COMPARED}/criteria/*": "half of a claim that was one before",
}
