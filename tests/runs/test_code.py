"""What identifies the code, and its snapshots."""

from pathlib import Path

import pytest

from lib.config.errors import BadInput
from lib.runs import code
from lib.runs.code import code_digest, code_version, snapshot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project of three files outside git, a cache and a hidden file."""
    root = tmp_path / "project"
    for name in ("lib/a.py", "lib/text.html", "sbatch/run.sh", "lib/__pycache__/a.pyc", "lib/.b.py",
                 "configs/study.yaml"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_files_count_and_caches_do_not(root: Path) -> None:
    before = code_digest(root)
    (root / "lib" / "__pycache__" / "a.pyc").write_text("other")
    (root / "configs" / "study.yaml").write_text("other")
    assert code_digest(root) == before
    (root / "lib" / "a.py").rename(root / "lib" / "b.py")
    renamed = code_digest(root)
    (root / "lib" / "text.html").write_text("other")
    assert len({before, renamed, code_digest(root)}) == 3


def test_a_snapshot_is_of_the_code_alone_and_says_what_it_is(root: Path, tmp_path: Path) -> None:
    made = snapshot(tmp_path / "submissions", root)
    files = {str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()}
    assert files == {"lib/a.py", "lib/text.html", "sbatch/run.sh", "code.json"}
    assert code_version(made) == {"code": code_digest(root), "git": None}
    assert snapshot(tmp_path / "submissions", root) == made
    (root / "lib" / "a.py").write_text("other")
    assert snapshot(tmp_path / "submissions", root) != made


def test_one_that_was_edited_is_refused(root: Path, tmp_path: Path) -> None:
    made = snapshot(tmp_path, root)
    (made / "lib" / "a.py").write_text("other")
    with pytest.raises(BadInput, match="changed since it was copied"):
        snapshot(tmp_path, root)


def test_data_below_lib_are_not_copied(root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(code, "MOST_BYTES", 20)
    with pytest.raises(BadInput, match="expected at most"):
        snapshot(tmp_path, root)
    assert not list(tmp_path.glob("*code-*"))
