"""What a GLUE study found, in sentences made of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.analysis.wording import absent, over_seeds, percent, signed, spread
from lib.config.errors import listed
from lib.tasks.glue.cells import KINDS
from lib.tasks.glue.table import NAMES, set_name


def sentences(tables: Mapping[str, Any]) -> list[str]:
    """The findings, in order; what cannot be said is said to be so."""
    if not any(point["metrics"] for point in tables["points"].values()):
        found = ["No point is measured yet."]
    else:
        found = [_accuracy(tables), *_tasks(tables), _chosen(tables), _tests(tables)]
        found += [_costs(tables), _ranks(tables), _spread(tables), _seeds(tables)]
    rest = absent(tables)
    found.append(f"Not in these numbers: {rest}." if rest else "")
    return [sentence for sentence in found if sentence]


def standing(tables: Mapping[str, Any], key: str = "methods") -> list[dict[str, Any]]:
    """Methods (or settings) that stand for their kind, in grid order."""
    name = "label" if key == "methods" else "method"
    labels = [one["label"] for one in tables["chosen"].values()]
    return [entry for entry in tables[key] if entry[name] in labels]


def mean_sd(found: Mapping[str, Any]) -> str:
    """`88.1 ± 0.4 [87.2, 89.0] %`: mean, deviation over seeds, interval over dev rows."""
    text = f"{100 * found['mean']:.1f}"
    text += "" if found["sd"] is None else f" ± {100 * found['sd']:.1f}"
    if found.get("low") is not None:
        text += f" [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
    return f"{text} %"


def _accuracy(tables: Mapping[str, Any]) -> str:
    known = [m for m in standing(tables) if m["accuracy"]["mean"] is not None]
    if not known:
        return "No method is measured on every task, so there is no mean over tasks."
    each = (f"{m['label']} {mean_sd(m['accuracy'])}" for m in known)
    return f"Mean accuracy over tasks{_means(known)}: {listed(each)}."


def _tasks(tables: Mapping[str, Any]) -> list[str]:
    """One sentence a dev set."""
    found = []
    for one in tables["sets"]:
        each = []
        for setting in standing(tables, "settings"):
            if setting["task"] != one["task"]:
                continue
            accuracy = setting["sets"][one["set"]]["accuracy"]
            if accuracy["mean"] is not None:
                each.append(f"{setting['method']} {mean_sd(accuracy)}")
        if each:
            found.append(
                f"{set_name(one['task'], one['set'])} ({one['rows']:,} dev rows; the commonest "
                f"label alone {percent(one['majority'])}): {listed(each)}."
            )
    return found


def _means(entries: list[dict[str, Any]]) -> str:
    several = any(entry["accuracy"]["sd"] is not None for entry in entries)
    return " (± sd over seeds, interval over dev rows)" if several else " (interval over dev rows)"


def _chosen(tables: Mapping[str, Any]) -> str:
    found = []
    for kind, told in tables["chosen"].items():
        if told["among"] > 1 and told["label"]:
            left = f", {told['reason']}" if told["reason"] else ""
            found.append(
                f"of {told['among']} settings of {KINDS[kind]}, {told['label']} is the best on the "
                f"validation rows{left}, and stands for it here"
            )
        elif told["label"] is None:
            found.append(told["reason"])
    text = "; ".join(found)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _tests(tables: Mapping[str, Any]) -> str:
    family = tables["significance"]["families"]["variants"]
    if not family["size"]:
        return "No two variants share a task here."
    alpha = 1 - tables["level"]
    clear = [t for t in family["members"] if t["p_holm"] is not None and t["p_holm"] < alpha]
    clear.sort(key=lambda test: -abs(test["difference"]["value"]))
    told = [
        f"{t['a']} − {t['b']} on {NAMES[t['task']]} {spread(t['difference'], 100, 'points')}"
        for t in clear
    ]
    return (
        f"Of {family['size']} paired differences between variants on the same dev rows, "
        f"{len(clear)} are significant at {100 * tables['level']:g} % after Holm's adjustment"
        f"{f': {listed(told, 4)}' if told else ''}."
    )


def _costs(tables: Mapping[str, Any]) -> str:
    base = next((m for m in standing(tables) if m["kind"] == "lora"), None)
    known = [m for m in standing(tables) if m["usage"]["seconds"]["mean"] is not None]
    if not known:
        return ""
    devices = {p["device"] for p in tables["points"].values() if p["device"]}
    each = []
    for method in known:
        used = {key: found["mean"] for key, found in method["usage"].items()}
        text = f"{method['label']} {used['seconds']:,.0f} s"
        if used["peak_memory_bytes"] is not None:
            text += f", {used['peak_memory_bytes'] / 2**30:.2f} GiB"
        if used["trainable_parameters"] is not None:
            text += f", {used['trainable_parameters']:,.0f} trained parameters"
        if base in known and method is not base:
            ratio = used["seconds"] / base["usage"]["seconds"]["mean"]
            text += f" ({signed(100 * (ratio - 1))} % of LoRA's time)"
        each.append(text)
    place = f" on {listed(sorted(devices), 3)}" if devices else ""
    text = f"Training of a task took{place}, in the mean over tasks and seeds: {listed(each)}."
    if any(point["memory_kind"] == "rss" for point in tables["points"].values()):
        text += (
            " Memory is the most that the process held: where one process trained several points, "
            "with what the points before had left."
        )
    return text


def _ranks(tables: Mapping[str, Any]) -> str:
    labels = [m["label"] for m in standing(tables)]
    known = [
        f"{one['method']} on {NAMES[one['task']]} {signed(one['norm_follows_w'], 2)}"
        for one in tables["ranks"]
        if one["method"] in labels and one["norm_follows_w"] is not None
    ]
    if not known:
        return ""
    return f"Spearman's correlation over matrices of ‖Δ‖ with w: {listed(known, 12)}."


def _spread(tables: Mapping[str, Any]) -> str:
    found = tables["spreads"]
    if not found:
        return ""
    flat = [one for one in found if one["uniform"]]
    low, high = min(one["min"] for one in found), max(one["max"] for one in found)
    text = (
        f"(1 − w)^β runs from {low:.3f} to {high:.3f} over the matrices of {len(found)} calibrated "
        f"runs"
    )
    if not flat:
        return f"{text}."
    kinds = listed(sorted({one["normalise"] for one in flat}))
    return (
        f"{text}; in {len(flat)} of them (normalised by {kinds}) it is uniform, so that the "
        f"penalty is a plain L2 term there."
    )


def _seeds(tables: Mapping[str, Any]) -> str:
    text = "Intervals over dev rows and p-values speak of other rows, not of other training runs"
    spreads = (found["accuracy"]["sd"] for s in tables["settings"] for found in s["sets"].values())
    return over_seeds(text, spreads)
