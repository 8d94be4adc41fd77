"""Load a study file: merge it with its overrides, and check it as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib.config.checks import check
from lib.config.claim_checks import check_claims
from lib.config.errors import BadInput, listed, nearest
from lib.config.figure_specs import figures_of
from lib.config.grid import parse_grid
from lib.config.study import Study
from lib.config.study_file import (
    SECTIONS,
    axes_and_variants,
    bundle,
    checked_name,
    drop_sections,
    expect,
    name_keys,
    read_file,
    refuse_swept,
    results_path,
    without_model,
)
from lib.config.types import check_length
from lib.config.validation import dotted_keys
from lib.config.yaml import parse_override, put

OWN_KEYS = ("name", "mode", "results_dir", "axes", "variants", "grid", "claims", "figures", "trial",
            "search", "selected")  # fmt: skip
MODES = ("full", "trial")
BELOW = 512  # bytes that files of a study may add to its path


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Load, merge and check a study file. Raises BadInput with the file and the key."""
    study = read_study(path, overrides)
    check(study)
    check_claims(study)
    figures_of(study)
    if study.search is not None:
        from lib.config.search_checks import check_search

        check_search(study)
    if study.raw.get("selected") is not None:
        from lib.config.selected import check_selected

        check_selected(study)
    return study


def read_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """A study file, merged and parsed, whose points are neither resolved nor checked."""
    path = str(path)
    raw = read_file(path)
    known = (*OWN_KEYS, *SECTIONS)
    for key in raw:
        if key not in known:
            raise BadInput(
                f"{path}: {key}: unknown key, expected one of {listed(known, 20)}"
                f"{nearest(key, known)}"
            )
    given = dotted_keys(dict(parse_override(text) for text in overrides))
    own = {key: given.pop(key) for key in list(given) if key.split(".")[0] in OWN_KEYS}
    for key, value in own.items():
        put(raw, key, value, f"command line: {key}")
    name_keys(raw, path)
    axes, variants = axes_and_variants(raw, path)
    raw["trial"] = bundle(raw.get("trial") or {}, f"{path}: trial")
    drop_sections(raw, variants, given, path)
    blocks = expect(raw, "grid", list, path)
    try:
        grid = parse_grid(blocks, ["variant", *axes])
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    for variant in grid.axis_values("variant"):
        if variant not in variants:
            hint = "; quote it" if str(variant) in variants else nearest(variant, variants)
            raise BadInput(
                f"{path}: grid: variant {variant!r} does not exist, expected one of "
                f"{listed(variants)}{hint}"
            )
    name, mode = raw.get("name", Path(path).stem), raw.get("mode", "full")
    if mode not in MODES:
        raise BadInput(
            f"{path}: mode: found {mode!r}, expected one of {listed(MODES)}{nearest(mode, MODES)}"
        )
    own = variants
    if mode == "trial":
        own = {v: without_model(bundle, raw["trial"]) for v, bundle in variants.items()}
    refuse_swept(given, axes, own, grid)
    name, results = checked_name(name, path), results_path(raw.get("results_dir", "results"), path)
    study = Study(path, name, mode, results, raw, tuple(overrides), given, axes, variants, grid)
    try:
        check_length(study.directory, BELOW)
    except ValueError as error:
        raise BadInput(f"{path}: results_dir: found {str(results)!r}, expected {error}") from None
    return study
