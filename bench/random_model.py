"""Llamas of random weights with a byte-level tokenizer, for measurements of time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.memory import Shape

# A small chat format, and words for the merges of a tokenizer that knows every byte.
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SENTENCES = (
    r"Should this paper be accepted? Answer with \boxed{Accept} or \boxed{Reject}.",
    "Title: Paper 17 Text: New idea. Sound theory. Thin evidence. Rough writing. Broad impact.",
    "user assistant Fresh familiar stale rigorous loose wrong thorough fair flawed elegant clear",
)


def save_tokenizer(directory: Path, sentences: Sequence[str] = SENTENCES) -> Any:
    """A byte-level BPE tokenizer of at most 512 tokens with ChatML, written and returned."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*sentences] * 2, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT,
    )
    tokenizer.save_pretrained(directory)
    return tokenizer


def save_llama(directory: Path, dtype: str = "float32", **sizes: Any) -> None:
    """A Llama of these sizes (keys of transformers' LlamaConfig), seeded, with its tokenizer.

    Made on the GPU where there is one: random numbers for 7B weights take minutes on a CPU.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = save_tokenizer(directory)
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id")
               for name in ("bos", "eos", "pad")}  # fmt: skip
    config = LlamaConfig(**{"vocab_size": len(tokenizer), **special, **sizes})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.random.fork_rng(), torch.device(device):
            torch.manual_seed(0)
            LlamaForCausalLM(config).save_pretrained(directory)
    finally:
        torch.set_default_dtype(before)


def sizes_of(shape: Shape) -> dict[str, Any]:
    """A decoder's shape as keys of transformers' LlamaConfig."""
    return {
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocabulary,
        "tie_word_embeddings": shape.tied,
        "max_position_embeddings": 4096,
    }
