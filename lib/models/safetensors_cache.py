"""Models with pickled weights only: converted to safetensors once, by stage 1.

lossgrid only loads safetensors. For a hub model without them, such as DeBERTaV3's main branch,
transformers would load a bot's conversion from another commit, after minutes, and fail offline. So
stage 1 converts the pickles into a directory with configuration and tokenizer, which every later
loader uses:

.cache/safetensors/<model>-<hash>/*.safetensors, config.json, tokenizer files
.cache/safetensors/<model>-<hash>/converted.json   checksums of the pickles and of all of these
"""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lib.config.errors import BadInput
from lib.config.grid import digest
from lib.config.schema import Model
from lib.runs.disk import Need, check_space
from lib.runs.files import read_json, read_sealed, replacing, write_json, write_sealed
from lib.runs.integrity import record, verify

CACHE = Path(".cache") / "safetensors"
RECORD = "converted.json"
REMEDY = "run stage 1 again"
# Files that affect tokens and prompts, beside weights.
BESIDE = ("*.json", "*.jinja", "*.model", "*.tiktoken", "*.txt", "*.py",
          "additional_chat_templates/*.jinja")  # fmt: skip
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"


def pickles(directory: Path) -> list[str]:
    """Names of a model's pickled weight files, [] where it has safetensors.

    One file, or an index and its files. Raises BadInput for an index without files.
    """
    if any((directory / name).is_file() for name in (SAFE, SAFE_INDEX)):
        return []
    if (directory / PICKLE).is_file():
        return [PICKLE]
    if (directory / PICKLE_INDEX).is_file():
        return [PICKLE_INDEX, *_shards(directory / PICKLE_INDEX)]
    return []


def weights_of(model: Model) -> str:
    """Where to load a study's model from: its name, or the directory of converted weights.

    Raises BadInput where stage 1 has not converted them yet.
    """
    target = conversion(model)
    if target is None:
        return model.name
    if not (target / RECORD).is_file():
        raise BadInput(f"model.name: {model.name} has its weights only as {PICKLE}, and {target} "
                       f"does not hold them as safetensors; {REMEDY}")  # fmt: skip
    return str(target)


def convert(model: Model, say: Callable[[str], None] | None = None) -> Path | None:
    """The directory of a model's converted weights; None where it has safetensors.

    Converted where it is missing, changed or of other pickles, with a line for `say` (None:
    stderr). Raises BadInput for pickles that are damaged or hold more than tensors.
    """
    _fetch_pickles(model)
    target = conversion(model)
    if target is None:
        return None
    source = snapshot(model)
    try:
        made = read_sealed(target / RECORD, REMEDY, ("source", "files"))
        verify(source, made["source"], REMEDY, pickles(source))
        verify(target, made["files"], REMEDY)
    except BadInput:  # missing, or of another conversion
        said = (f"model.name: {model.name} has its weights only as {PICKLE}; "
                f"converting them to safetensors, once, in {target}")  # fmt: skip
        say(said) if say else print(said, file=sys.stderr, flush=True)
        _convert(source, target)
    return target


def converted_files(model: Model) -> dict[str, Any] | None:
    """Checksums of a model's weights, converted if necessary; None where it has safetensors."""
    target = convert(model)
    return None if target is None else read_sealed(target / RECORD, REMEDY, ["files"])["files"]


def verify_converted(model: Model, files: Mapping[str, Any] | None, remedy: str) -> None:
    """Raise BadInput where converted weights differ from what `converted_files` recorded.

    Missing weights are not an error here, but when they are loaded.
    """
    target = conversion(model)
    if files is not None and target is not None and target.is_dir():
        verify(target, files, remedy)


def snapshot(model: Model) -> Path | None:
    """The directory of a model's files: its own, or that in the hub's local cache, or None."""
    directory = Path(model.name)
    if directory.is_dir():
        return directory
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model.name, "config.json", revision=model.revision)
    return Path(cached).parent if isinstance(cached, str) else None


def conversion(model: Model) -> Path | None:
    """The directory for converted weights; None without local pickled weights."""
    source = snapshot(model)
    names = pickles(source) if source is not None else []
    if not names:
        return None
    sizes = [[name, (source / name).stat().st_size] for name in names]
    of = model.name if Path(model.name).is_dir() else [model.name, source.name]
    last = re.sub(r"[^\w.-]", "_", Path(model.name).name)[:80]
    return CACHE / f"{last}-{digest([of, sizes])[:12]}"


def _fetch_pickles(model: Model) -> None:
    """Download a hub model's pickles to the local cache, if the hub has no safetensors of it.

    Of the same commit as configuration and tokenizer. Offline, does nothing: loading will fail.
    """
    source = snapshot(model)
    if source is None or Path(model.name).is_dir() or pickles(source):
        return
    if any((source / name).is_file() for name in (SAFE, SAFE_INDEX)):
        return
    from huggingface_hub import HfApi, snapshot_download

    try:
        there = HfApi().list_repo_files(model.name, revision=source.name)
        if not {SAFE, SAFE_INDEX} & set(there):
            wanted = [PICKLE, PICKLE_INDEX, "pytorch_model-*.bin", *BESIDE]
            snapshot_download(model.name, revision=source.name, allow_patterns=wanted)
    except Exception:  # of the network, the hub or its client
        return


def _shards(index: Path) -> list[str]:
    """Files that an index names, in order."""
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    names = set(weight_map.values()) if isinstance(weight_map, dict) else set()
    if not names or any(not isinstance(n, str) or Path(n).name != n for n in names):
        raise BadInput(f"{index}: no index of weights, expected weight_map: parameter → file name")
    for name in sorted(names):
        if not (index.parent / name).is_file():
            raise BadInput(f"{index.parent / name}: no such file, named by {index.name}")
    return sorted(names)


def _convert(source: Path, target: Path) -> None:
    """Write the weights of `source` as safetensors to `target`, with config and tokenizer."""
    names = pickles(source)
    files = [name for name in names if name != PICKLE_INDEX]
    wanted = read_json(source / PICKLE_INDEX)["weight_map"] if len(names) > 1 else {}
    kept = [path for pattern in BESIDE for path in source.glob(pattern)
            if path.name not in (PICKLE_INDEX, SAFE_INDEX)]  # fmt: skip
    written = sum((source / name).stat().st_size for name in files)
    check_space(target, [Need("weights as safetensors", written, len(files) + len(kept) + 2)])
    with replacing(target) as temporary:
        for path in kept:
            place = temporary / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)  # content only, without the mode or a link
        write_weights(temporary, _converted(source, files, wanted))
        made = {
            "source": record(source, names),
            "files": record(temporary, [path.name for path in temporary.iterdir()]),
        }
        write_sealed(temporary / RECORD, made)


def _converted(
    source: Path, files: list[str], wanted: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of a safetensors file and its tensors, pickle after pickle; wanted: their index."""
    for number, name in enumerate(files, 1):
        tensors = read_pickle(source / name)
        if lost := [key for key, file in wanted.items() if file == name and key not in tensors]:
            raise BadInput(f"{source / name}: lacks {lost[0]}, which {PICKLE_INDEX} expects")
        yield f"model-{number:05d}-of-{len(files):05d}.safetensors" if wanted else SAFE, tensors


def write_weights(directory: Path, parts: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Write (file, its tensors) one after the other, with an index unless it is the one file."""
    from safetensors.torch import save_file

    weight_map, total = {}, 0
    for name, tensors in parts:
        save_file(tensors, directory / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
        total += sum(tensor.nbytes for tensor in tensors.values())
    if set(weight_map.values()) != {SAFE}:
        content = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_json(directory / SAFE_INDEX, content)


def read_pickle(path: Path) -> dict[str, Any]:
    """Name → tensor of a pickled state dict, without shared memory.

    No code of the pickle runs. Raises BadInput for a file that is damaged or holds anything but
    dense tensors by name.

    Tensors that share memory are copied: safetensors has no shared tensors, and dropping a name, as
    `safetensors.torch.save_model` does, is only right where the model ties the two itself.
    """
    import torch

    try:
        # Memory-mapped if possible: files of torch before 1.6 are not.
        tensors = torch.load(path, map_location="cpu", weights_only=True,
                           mmap=zipfile.is_zipfile(path))  # fmt: skip
    except Exception as error:  # unpickling a damaged file may raise anything
        text = " ".join(str(error).split()) or type(error).__name__
        if name := re.search(r"GLOBAL (\S+)", text):
            raise _more_than_tensors(path, name[1]) from None
        raise BadInput(f"{path}: cannot be read as weights: {text[:200]}") from None
    if not isinstance(tensors, dict) or not tensors:
        raise _more_than_tensors(path, f"a {type(tensors).__name__}" if tensors else "nothing")
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise _more_than_tensors(path, f"{name!r}: a {type(value).__name__}")
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise _more_than_tensors(path, f"{name!r}: no dense tensor")
    return _apart(tensors)


def _apart(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Contiguous tensors, copied where they share a storage or are part of one."""
    kept, seen = {}, set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        whole = storage.nbytes() == tensor.nbytes and tensor.is_contiguous()
        apart = whole and storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        kept[name] = (tensor if apart else tensor.contiguous().clone()).detach()
    return kept


def _more_than_tensors(path: Path, what: str) -> BadInput:
    return BadInput(f"{path}: found {what}, expected dense tensors by name and nothing else, "
                    f"since reading may run code; save the model as safetensors")  # fmt: skip
