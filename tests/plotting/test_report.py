from html.parser import HTMLParser

from lib.plotting.report import report

CRITERIA = (
    "# Found\n\nMore <b>&</b> `more`.\n\n| criterion | verdict |\n| --- | --- |\n| a | pass |\n"
)


class Page(HTMLParser):
    """Tags and text of a page; a tag that is not closed in its turn is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_report_holds_findings_numbers_and_figures():
    page = Page(
        report(
            "a<b",
            ["data.source=<x>"],
            CRITERIA,
            "point,f1,p\none,0.123456,\n<two>,3,nan\n",
            ["comparison/comparison_f1.png"],
            {"one": ["one/one_loss.png"], "two": []},
        )
    )
    found = [tag for tag, _ in page.tags]
    assert (found.count("table"), found.count("td"), found.count("details")) == (2, 8, 2)
    assert not {"b", "x", "two"} & set(found)  # what was given is text
    assert [a["src"] for tag, a in page.tags if tag == "img"] == [
        "comparison/comparison_f1.png",
        "one/one_loss.png",
    ]
    assert [a["href"] for tag, a in page.tags if tag == "a"] == [
        "comparison/comparison_f1.pdf",
        "one/one_loss.pdf",
    ]
    for text in ("a<b", "data.source=<x>", "More <b>&</b>", "0.1235", "<two>", "nan", "No figures"):
        assert text in page.text
