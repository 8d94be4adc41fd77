"""The keys that say where hazardous requests come from, and the names of their hazards."""

from __future__ import annotations

from pydantic import field_validator

from lib.config.errors import listed, nearest
from lib.config.types import Count, PathText, Strict

JUDGES = ("safe_unsafe", "qwen3guard", "llama_guard")  # kinds whose verdicts are read
SAMPLE = "sample"  # as `prompts`: a dozen mild requests of our own
COLUMNS = ("id", "prompt", "hazard")
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

    prompts: PathText | None = None  # AILuminate's CSV, JSON or JSONL, or `sample`; null: none
    columns: dict[str, str] = {}  # our name → the file's: {prompt: prompt_text, hazard: hazard}
    limit: Count | None = None  # requests, every kind with its share (see README); null: all
    max_new_tokens: Count = 512  # of an answer; AILuminate's own runs take so many
    system: str | None = None  # system message; null: the chat template's own, if it has one

    @field_validator("columns")
    @classmethod
    def _columns(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in COLUMNS:
                raise ValueError(f"names among {listed(COLUMNS)}, each with the file's column"
                                 f"{nearest(name, COLUMNS)}")  # fmt: skip
        return value


def hazard_of(code: str) -> str:
    """The hazard that a code is a part of: spc_lgl → spc; codes of others stay as they are."""
    head = code.split("_")[0]
    return head if head in HAZARDS else code
