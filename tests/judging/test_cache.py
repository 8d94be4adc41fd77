"""The file of what a judge has said: torn lines, several writers, a disk that says no."""

import threading

import pytest

from lib.config.errors import BadInput
from lib.judging.cache import Cache


class TestCache:
    def test_a_torn_line_costs_one_answer(self, tmp_path):
        path = tmp_path / "deep" / "judge.jsonl"
        cache = Cache(path)
        for key in "abc":
            cache.put(key, f"text {key}\u2028", {"judge": "m"})
        path.write_bytes(path.read_bytes()[:-20])
        torn = Cache(path)
        assert [torn.texts.get(key) for key in "abc"] == ["text a\u2028", "text b\u2028", None]
        torn.put("d", "text d", {})
        whole = Cache(path)
        assert [whole.texts.get(key) for key in "abcd"] == [*map(torn.texts.get, "abcd")]
        assert whole.texts.get("d") == "text d"

    def test_what_is_no_row_is_left_out(self, tmp_path):
        path = tmp_path / "judge.jsonl"
        Cache(path).put("c", "x", {})
        path.write_bytes(b'\xff\n{"key": "a", "te\n' + path.read_bytes())
        assert Cache(path).texts == {"c": "x"}

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (b"Rating: 7", b"Rating: 9"), (b'"key": "b"', b'"key": "d"'), (b'"m"', b'"n"'),
            (b'"calls": 2', b'"calls": 0'), (b', "sha256": "', b', "sha257": "'),
            (b'"text": "Rating: 7"', b'"text": 7'),
        ],
    )  # fmt: skip
    def test_a_changed_row_is_refused(self, tmp_path, before, after):
        path = tmp_path / "judge.jsonl"
        cache = Cache(path)
        for key, text in (("a", "Rating: 3"), ("b", "Rating: 7"), ("c", "Rating: 5")):
            cache.put(key, text, {"judge": "m"})
        lines = path.read_bytes().split(b"\n")
        assert before in lines[1]
        lines[1] = lines[1].replace(before, after)
        path.write_bytes(b"\n".join(lines))
        with pytest.raises(BadInput, match=r"judge\.jsonl: line 2: .* remove the line, .*one call"):
            Cache(path)
        with pytest.raises(BadInput, match="line 2"):
            cache.refresh()
        path.write_bytes(b"\n".join([lines[0], lines[2], b""]))
        assert Cache(path).texts == {"a": "Rating: 3", "c": "Rating: 5"}

    def test_others_add_to_it(self, tmp_path):
        one, other = Cache(tmp_path / "c"), Cache(tmp_path / "c")
        other.put("a", "x", {})
        assert one.texts.get("a") is None
        one.refresh()
        assert one.texts.get("a") == "x"

    def test_many_at_a_time(self, tmp_path):
        def fill(name: str) -> None:
            cache = Cache(tmp_path / "c")
            for i in range(20):
                cache.put(f"{name}{i}", "x" * 5000, {})

        threads = [threading.Thread(target=fill, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(Cache(tmp_path / "c").texts) == 80

    def test_calls_are_counted_over_all_tasks(self, tmp_path):
        one, other = Cache(tmp_path / "deep" / "judge.jsonl"), Cache(tmp_path / "deep/judge.jsonl")
        assert one.calls() == 0
        assert [one.count_call(3), other.count_call(3), one.count_call(3)] == [True] * 3
        assert not other.count_call(3)
        assert one.calls() == other.calls() == 3
        assert one.count_call(4)

    def test_calls_survive_the_deletion_of_their_count(self, tmp_path):
        cache = Cache(tmp_path / "judge.jsonl")
        for _ in range(5):  # four of them without an answer
            assert cache.count_call(9)
        cache.put("a", "x", {})
        for damage in (cache.counted.unlink, lambda: cache.counted.write_bytes(b"..")):
            damage()
            again = Cache(tmp_path / "judge.jsonl")
            assert again.calls() == 5
            assert not again.count_call(5)
            assert again.count_call(6)
            assert again.calls() == 6
        cache.counted.unlink()
        again.put("b", "y", {})
        assert Cache(tmp_path / "judge.jsonl").calls() == 5  # what the last answers saw

    def test_a_disk_that_says_no(self, tmp_path):
        with pytest.raises(BadInput, match="cannot be read"):
            Cache(tmp_path)
        (tmp_path / "file").touch()
        cache = Cache(tmp_path / "new")
        cache.path = tmp_path / "file" / "c"
        with pytest.raises(BadInput, match="cannot be written"):
            cache.put("a", "x", {})
        cache.counted = tmp_path / "file" / "c"
        with pytest.raises(BadInput, match="cannot be written"):
            cache.count_call(9)
