"""Sentence pairs in three ways of tuning, analysed by one engine. See `tests.golden.changes`."""

from tests.golden.changes import AGGREGATED

VIEW = "a view of the tables: metrics of every task in one shape"
TABLE = "a row of a table"
COMPARED = "comparison/aggregated_metrics.json"
TASK_OF = {"matched": "mnli", "mismatched": "mnli", "dev": "rte"}

# -- points ---------------------------------------------------------------------------------------

POINT = rf"^{AGGREGATED}/points/([^/]+)"
RENAMES = {
    r"^(points/[^/]+/metrics)/sets/dev/(rows|metrics/.*)$": (r"\1/\2", "the one set of a point"),
    f"^({AGGREGATED}/points/[^/]+)/values/seed$": (r"\1/seed", "a column of every study"),
    f"^({AGGREGATED}/points/[^/]+)/task$": (r"\1/values/task", "said twice"),
    f"^({AGGREGATED}/points/[^/]+)/usage/(seconds|trainable_parameters)$": (r"\1/\2", TABLE),
    f"^({AGGREGATED}/points/[^/]+)/usage/peak_memory_bytes$": (r"\1/peak_memory_gb", "in GB"),
    f"^({AGGREGATED}/points/[^/]+)/usage/(step_seconds|calibration_seconds)$": (
        r"\1/adapters/\2", TABLE),
}  # fmt: skip
SHARES = {f"^{AGGREGATED}/points/[^/]+/usage/peak_memory_bytes$": ("1e9", "share")}
for name, task in TASK_OF.items():
    RENAMES |= {
        f"^(points/[^/]+/metrics)/sets/{name}/": (rf"\1/sets/{task}/{name}/", VIEW),
        rf"^({AGGREGATED}/points/[^/]+)/metrics/{name}/(\w+)/": (
            rf"\1/metrics/{task}/{name}.\2/", VIEW),
        f"{POINT}/confusion/{name}/": (rf"points/\1/metrics/sets/{task}/{name}/confusion/", VIEW),
    }  # fmt: skip

# -- settings and contrasts -----------------------------------------------------------------------

SETTINGS = (
    "lora_alpha0", "adalora", "iw_lora_alpha0.0001_beta1_normalisesum",
    "iw_lora_alpha0.001_beta1_normalisesum", "short_alpha0",
)  # fmt: skip
LORA, ADALORA, WEIGHTED, STRONGER, _ = SETTINGS
for place, setting in enumerate(SETTINGS):
    old, new = f"^{COMPARED}/methods/{place}/accuracy", f"{COMPARED}/settings/{setting}/metrics"
    RENAMES |= {
        f"{old}/mean$": (f"{new}/mean.accuracy/value", TABLE),
        f"{old}/(low|high|sd)$": (rf"{new}/mean.accuracy/\1", TABLE),
    }
# One row a setting and task was frozen; `short` has but one of the tasks.
for place, setting in enumerate([s for s in SETTINGS[:4] for _ in range(2)]):
    for name, task in TASK_OF.items():
        if (task == "rte") == bool(place % 2):
            old = rf"^{COMPARED}/settings/{place}/sets/{name}/(\w+)"
            new = rf"{COMPARED}/settings/{setting}/metrics/{task}/{name}.\1"
            RENAMES |= {
                f"{old}/mean$": (f"{new}/value", TABLE),
                f"{old}/(low|high|sd)$": (rf"{new}/\2", TABLE),
            }
MNLI, RTE = "mnli/matched.accuracy", "rte/dev.accuracy"
FIELDS = {
    "difference/value": "difference", "difference/low": "low", "difference/high": "high",
    "p_value": "p", "p_holm": "p_holm", "items": "n", "independent": "units",
}  # fmt: skip
PAIRS = {
    "baseline": [(ADALORA, LORA), (WEIGHTED, LORA), (STRONGER, LORA)],
    "variants": [(ADALORA, LORA), (WEIGHTED, LORA), (WEIGHTED, ADALORA)],
}
for family, members in PAIRS.items():
    for place, (a, b) in enumerate(pair for pair in members for _ in range(2)):
        metric = RTE if place % 2 else MNLI
        now = f"{COMPARED}/contrasts/{family}/{metric}/{a} − {b}"
        for old, new in FIELDS.items():
            member = f"families/{family}/members/{place}/{old}$"
            RENAMES[f"^comparison/.*significance[.json]*/{member}"] = (f"{now}/{new}", TABLE)
for name, b in {"adalora": ADALORA, "lora": LORA}.items():
    old, new = f"^{COMPARED}/against/{name}", f"{COMPARED}/contrasts/claims"
    RENAMES |= {
        f"{old}/(?:value|seeds/mean|seeds/values/0)$": (
            f"{new}/mean.accuracy/{WEIGHTED} − {b}/difference", TABLE),
        f"{old}/(low|high)$": (rf"{new}/mean.accuracy/{WEIGHTED} − {b}/\1", TABLE),
        f"{old}/tasks/mnli$": (f"{new}/{MNLI}/{WEIGHTED} − {b}/difference", TABLE),
        f"{old}/tasks/rte$": (f"{new}/{RTE}/{WEIGHTED} − {b}/difference", TABLE),
    }  # fmt: skip
for place, (name, task) in enumerate(TASK_OF.items()):
    new = f"points/adalora_task{task}_seed42/metrics/sets/{task}/{name}"
    rows = new if task == "mnli" else f"points/adalora_task{task}_seed42/metrics"
    RENAMES |= {
        f"^{COMPARED}/sets/{place}/groups$": (f"{new}/clusters", VIEW),
        f"^{COMPARED}/sets/{place}/majority$": (f"{new}/majority", VIEW),
        f"^{COMPARED}/sets/{place}/rows$": (f"{rows}/rows", VIEW),
    }
WEIGHTED_POINTS = (
    "taskmnli_alpha0.0001", "taskmnli_alpha0.0001", "taskrte_alpha0.0001", "taskrte_alpha0.0001",
    "taskmnli_alpha0.001", "taskrte_alpha0.001",
)  # fmt: skip
for place, (point, seed) in enumerate(zip(WEIGHTED_POINTS, (42, 43, 42, 43, 42, 42), strict=True)):
    name = f"iw_lora_{point}_beta1_normalisesum_seed{seed}"
    old, new = f"^{COMPARED}/spreads/{place}", f"{COMPARED}/points/{name}/adapters"
    RENAMES |= {
        f"{old}/(min|max|cv)$": (rf"{new}/factor_\1", TABLE),
        f"{old}/normalise$": (f"{new}/normalise", TABLE),
    }
CLAIMS = (
    "mean accuracy over tasks is at most 0.2 points below AdaLoRA's",
    "mean accuracy over tasks is above LoRA's",
    "training takes at least 10 % less time than AdaLoRA's",
    "calibration takes less than 2 % of the training time",
)
RENAMES |= {
    f"^({COMPARED}/criteria)/{place}/verdict$": (rf"\1/{claim}", "claims by their words")
    for place, claim in enumerate(CLAIMS)
}

NAMES = "names and axis values, which points and labels have"
MEANS = "means of what training used over seeds: rows of estimates.csv, of the points here"
REMOVED = {
    "*.csv/*": "the numbers of the JSON once more",
    "*/criteria/*/criterion": "claims of the study file in place of criteria in code",
    "*/criteria/*/number*": "numbers of a sentence, those of claims.csv",
    **{f"{COMPARED}/{key}": NAMES for key in (
        "baseline/label", "chosen/*", "methods/*/kind", "methods/*/label", "methods/*/seeds/*",
        "methods/*/variant", "methods/*/rest/*", "points/*/kind", "points/*/memory_kind",
        "points/*/method", "sets/*/labels/*", "sets/*/set", "sets/*/task", "settings/*/diverged",
        "settings/*/kind", "settings/*/label", "settings/*/method", "settings/*/points/*",
        "settings/*/seeds/*", "settings/*/statuses/*", "settings/*/task", "spreads/*/point")},
    **{f"comparison/*significance*/{key}": NAMES for key in (
        "members/*/[ab]", "members/*/points_*", "members/*/set", "members/*/task", "adjustment",
        "level", "test")},
    "points/*/metrics/set": NAMES,
    f"{COMPARED}/spreads/*/uniform": "`yes` or empty now",
    f"{COMPARED}/calibration/*": "the number of a claim; calibration_share of the points",
    f"{COMPARED}/saving/*": "the number of a claim; seconds of the points",
    f"{COMPARED}/methods/*/usage/*": MEANS,
    f"{COMPARED}/settings/*/usage/*": MEANS,
    f"{COMPARED}/methods/*/validation_accuracy": "means over points, which have it",
    f"{COMPARED}/settings/*/validation_accuracy": "means over points, which have it",
    f"{COMPARED}/methods/*/accuracy/values/*": "of seeds; their points have it",
    f"{COMPARED}/settings/*/values/*": "of seeds; their points have it",
    f"{COMPARED}/ranks/*": "one row a point now (adapters, matrices), where it was means of seeds",
    "comparison/*significance*/by_seed/*": "seeds are averaged first: one test a pair of settings",
    "comparison/*significance*/standard_error": "the minimal detectable effect is 2.8 of them",
    "comparison/*significance*/*size": "sizes of Holm's families: rows of contrasts.csv",
    "comparison/*significance*/baseline/members/[67]/*": "`short` has no whole point to compare",
}  # fmt: skip
SEEDS = "same seed with same seed, intervals over seeds and items; it was the mean of all seeds"
CHANGES = {
    f"{COMPARED}/contrasts/*": SEEDS,
    f"{COMPARED}/settings/*/low": "intervals over seeds and items; of one seed Wilson's",
    f"{COMPARED}/settings/*/high": "intervals over seeds and items; of one seed Wilson's",
}
NEW = {
    "points/*": "metrics of every task in one shape",
    f"{COMPARED}/contrasts/*": "every setting against the baseline's, every set and metric",
    f"{COMPARED}/settings/*": "means over seeds of every metric",
    f"{COMPARED}/points/*": "columns of points.csv, of partial points too",
    f"{COMPARED}/baseline/setting": "a setting, whose label it was",
}
