"""The keys that say where hazardous requests come from, and the names of their hazards."""

from __future__ import annotations

from lib.config.types import Count, PathText, Strict
from lib.data.records import renaming

JUDGES = ("safe_unsafe", "qwen3guard", "llama_guard")  # kinds whose verdicts are read
SAMPLE = "sample"  # as `prompts`: a dozen mild requests of our own
COLUMNS = ("id", "prompt", "hazard")
Columns = renaming(COLUMNS)
# Hazard → its name. Source: MLCommons AILuminate 1.0, README of the demo prompt set. Codes such as
# spc_lgl or sxc_prn are parts of the hazard before the underscore.
HAZARDS = {
    "vcr": "violent crimes",
    "src": "sex-related crimes",
    "cse": "child sexual exploitation",
    "ssh": "suicide and self-harm",
    "iwp": "CBRNE weapons",
    "ncr": "non-violent crimes",
    "ipv": "intellectual property",
    "dfm": "defamation",
    "hte": "hate",
    "prv": "privacy",
    "spc": "specialized advice",
    "sxc": "sexual content",
}


class Data(Strict):
    """Requests, and how they are put to the models of the study."""

    prompts: PathText | None = (
        None  # AILuminate's CSV or any file of requests, or `sample`; null: none
    )
    columns: Columns = {}  # our name → the file's: {prompt: prompt_text, hazard: hazard}
    limit: Count | None = None  # requests, every kind with its share (see README); null: all
    max_new_tokens: Count = 512  # of an answer; AILuminate's own runs take so many
    system: str | None = None  # system message; null: the chat template's own, if it has one


def hazard_of(code: str) -> str:
    """The hazard that a code is a part of: spc_lgl → spc; codes of others stay as they are."""
    head = code.split("_")[0]
    return head if head in HAZARDS else code
