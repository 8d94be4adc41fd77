"""Rows of every kind of file and of the hub, and what is said of those that cannot be read."""

import csv
import gzip
import json

import pytest

from lib.config.errors import BadInput
from lib.data.sources import guess_column, is_file, read_placed


def rows_of(count):
    return [{"title": f"Row {n}", "text": f"About “{n}”."} for n in range(count)]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(source, split="train"):
    return read_placed(str(source), split, '{"title": …}')


def refused(source):
    with pytest.raises(BadInput) as error:
        read(source)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def source(tmp_path):
    return jsonl(tmp_path / "papers.jsonl", rows_of(3))


def test_every_kind_of_file_gives_the_same_rows(tmp_path):
    rows = rows_of(6)
    lines = "".join(json.dumps(row) + "\n\n" for row in rows)
    files = {"a.jsonl": lines, "b.json": json.dumps(rows), "c.json": lines,
             "d.jsonl": "\n" + json.dumps(rows, indent=1), "e.json": "\ufeff" + lines}  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert [row for _, row in read(tmp_path / name)] == rows
        with gzip.open(tmp_path / f"{name}.gz", "wt", encoding="utf-8") as file:
            file.write(text)
        assert [row for _, row in read(tmp_path / f"{name}.gz")] == rows
    with (tmp_path / "f.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert [row for _, row in read(tmp_path / "f.csv")] == rows


def test_where_a_row_stands(tmp_path):
    """Line numbers in JSONL and CSV (the first line of a record), row numbers in a list."""
    path = tmp_path / "p.csv"
    path.write_text('title,abstract,decision\na,"one\ntwo",accept\n\nb,c,reject\n')
    assert [where for where, _ in read(path)] == [f"{path}:2", f"{path}:5"]
    path = tmp_path / "p.jsonl"
    path.write_text("\n" + json.dumps(rows_of(1)[0]) + "\n\n" + json.dumps(rows_of(2)[1]))
    assert [where for where, _ in read(path)] == [f"{path}:2", f"{path}:4"]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows_of(2)))
    assert [where for where, _ in read(path)] == [f"{path}: row 1", f"{path}: row 2"]


def test_long_cells_are_read(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(f"title,text,decision\na,{'x' * 200_000},accept\n")
    assert len(read(path)[0][1]["text"]) == 200_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "p.csv: no rows"),
     ("title,abstract,decision\n", "p.csv: no rows"),
     ("title,abstract,decision\na,b\n", "p.csv:2: found 2 fields, expected 3"),
     ("title,title,decision\na,b,c\n", "p.csv:1: column 'title' is there twice"),
     ('title,abstract,decision\na,b,accept\na,"b\nc,d\n', "p.csv:3: malformed CSV")],
)  # fmt: skip
def test_bad_csv(tmp_path, text, expected):
    path = tmp_path / "p.csv"
    path.write_text(text)
    assert f"{tmp_path}/{expected}" in refused(str(path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "no rows"), ("[]", "no rows"), ("\n\n", "no rows"),
     ('{"title": "a"}\n{"title": \n', ":2: malformed JSON: Expecting value"),
     ('\n[{"title": "a"},\n{"title" "b"}]', ":3: malformed JSON: Expecting ':' delimiter"),
     ('{\n"data": []}', ":1: malformed JSON"),
     ('{"a": 1}\n[1]', ":2: found a list"),
     ('{"title": "a"}\n3\n', ":2: found 3, expected an object"),
     ("[[1]]", ": row 1: found a list, expected an object")],
)  # fmt: skip
def test_bad_json(tmp_path, text, expected):
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    assert expected in refused(str(path))


def test_tsv_takes_quotation_marks_for_letters(tmp_path):
    """As in GLUE's own files, where a quote may open and never close."""
    path = tmp_path / "p.tsv"
    path.write_text('sentence\tlabel\r\n"a film, he said\t1\r\n\r\nb " c\t0\n', newline="")
    assert read(path) == [
        (f"{path}:2", {"sentence": '"a film, he said', "label": "1"}),
        (f"{path}:4", {"sentence": 'b " c', "label": "0"}),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "p.tsv: no rows"),
     ("sentence\tlabel\na\n", "p.tsv:2: found 1 fields, expected 2"),
     ("label\tlabel\na\t1\n", "p.tsv:1: column 'label' is there twice")],
)  # fmt: skip
def test_bad_tsv(tmp_path, text, expected):
    path = tmp_path / "p.tsv"
    path.write_text(text)
    assert f"{tmp_path}/{expected}" in refused(str(path))


def test_broken_gzip(tmp_path):
    path = tmp_path / "p.jsonl.gz"
    whole = gzip.compress("".join(json.dumps(p) + "\n" for p in rows_of(100)).encode())
    for content in (whole[:100], b"plain text", whole[:60] + b"????" + whole[64:]):
        path.write_bytes(content)
        assert f"{path}: broken gzip file: " in refused(str(path))


def test_not_text(tmp_path):
    path = tmp_path / "p.csv"
    path.write_bytes("title,abstract,decision\né,a,accept\n".encode("latin-1"))
    assert f"{path}: not UTF-8 text" in refused(str(path))


def test_parquet_has_rows_types_and_names_of_labels(tmp_path):
    """A class label is stored as a number there too, and pandas' index is no column."""
    import datasets
    import pandas

    rows = [
        {"title": "a", "year": 2020, "turns": ["b", "c"]},
        {"title": None, "year": 1, "turns": []},
    ]
    pandas.DataFrame(rows).to_parquet(tmp_path / "p.parquet")
    assert read(tmp_path / "p.parquet") == [
        (f"{tmp_path}/p.parquet: row {n}", row) for n, row in enumerate(rows, 1)
    ]
    (tmp_path / "p.parquet.gz").write_bytes(gzip.compress((tmp_path / "p.parquet").read_bytes()))
    assert [row for _, row in read(tmp_path / "p.parquet.gz")] == rows
    features = datasets.Features({"label": datasets.ClassLabel(names=["Accept", "Reject"])})
    datasets.Dataset.from_list([{"label": 1}, {"label": -1}], features=features).to_parquet(
        str(tmp_path / "q.parquet")
    )
    assert [row["label"] for _, row in read(tmp_path / "q.parquet")] == ["Reject", None]
    (tmp_path / "r.parquet").write_bytes(b"PAR1")
    assert "r.parquet: cannot be read as Parquet: " in refused(str(tmp_path / "r.parquet"))


def test_unknown_kind_of_file(tmp_path):
    path = tmp_path / "p.feather"
    path.write_bytes(b"PAR1")
    assert "found a .feather file, expected .jsonl, .json, .csv" in refused(str(path))


def test_missing_file(source, tmp_path):
    wrong = source.replace("papers.jsonl", "paper.jsonl")
    assert refused(wrong) == f"{wrong}: no such file; did you mean {source!r}?"
    far = str(tmp_path / "q.csv")
    assert refused(far).startswith(f"{far}: no such file; ")
    assert "there is no folder nowhere either" in refused("nowhere/papers.jsonl")
    assert refused("./nowhere").startswith("./nowhere: no such file")


def test_hub(monkeypatch):
    """A class label is stored as a number: its name is given, and nothing where there is none."""
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["Accept", "Reject"])}
    )
    table = datasets.Dataset.from_list(
        [{"text": "x", "label": 1}, {"text": "y", "label": -1}], features=features
    )
    asked = []
    monkeypatch.setattr(
        datasets, "load_dataset", lambda name, split: asked.append((name, split)) or table
    )
    assert read("owner/papers", "validation") == [
        ("owner/papers: row 1", {"text": "x", "label": "Reject"}),
        ("owner/papers: row 2", {"text": "y", "label": None}),
    ]
    assert asked == [("owner/papers", "validation")]


def test_a_configuration_of_a_hub_data_set(monkeypatch):
    import datasets

    table, asked = datasets.Dataset.from_list([{"text": "x"}]), []

    def load_dataset(*names, split):
        asked.append((*names, split))
        return table

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    read_placed("owner/papers", "train", "{}", "main")
    read_placed("owner/papers", "train", "{}")
    assert asked == [("owner/papers", "main", "train"), ("owner/papers", "train")]


def test_no_such_data_set(monkeypatch, tmp_path):
    import datasets

    def load_dataset(name, split):
        raise RuntimeError(f"no\nway to {name}")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    message = refused("owner/papers")
    assert message.startswith(
        "owner/papers: cannot be loaded from the hub (split 'train'; "
        "RuntimeError: no way to owner/papers); if a file is meant"
    )
    (tmp_path / "data").mkdir()
    jsonl(tmp_path / "data/papers.jsonl", [])
    monkeypatch.chdir(tmp_path)
    assert refused("data/papers").endswith("did you mean 'data/papers.jsonl'?")


def test_files_are_told_from_hub_ids(source):
    assert is_file(source)
    assert not is_file("owner/papers")


@pytest.mark.parametrize(
    ("name", "aliases", "found", "expected"),
    [
        ("chosen", (), ["Chosen", "rejected"], "Chosen"),
        ("chosen", ("preferred",), ["Preferred", "x"], "Preferred"),
        ("chosen", (), ["choosen"], "choosen"),
        ("chosen", (), ["text"], None),
    ],
)
def test_the_column_that_is_meant(name, aliases, found, expected):
    assert guess_column(name, aliases, found) == expected
