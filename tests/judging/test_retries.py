"""How long to wait between two tries."""

import asyncio
import time
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from lib.judging import retries


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        (None, 0, 0),
        ("", 0, 0),
        ("7", 7, 7),
        ("0.25", 0.25, 0.25),
        ("-3", 0, 0),
        ("nan", 0, 0),
        ("inf", 600, 600),
        ("1e9", 600, 600),
        ("soon", 0, 0),
    ],
)
def test_retry_after(header, low, high):
    assert low <= retries.retry_after(header) <= high


@pytest.mark.parametrize(("ahead", "low", "high"), [(500, 400, 501), (-50, 0, 0)])
def test_retry_after_a_date(ahead, low, high):
    header = formatdate(time.time() + ahead, usegmt=True)
    assert low <= retries.retry_after(header) <= high


def test_pauses_grow_to_a_bound(monkeypatch):
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.5)
    monkeypatch.setattr(retries, "random", SimpleNamespace(uniform=lambda low, high: high))
    assert [retries.exponential_backoff(i) for i in (0, 1, 2, 6, 7, 10**6)] == [
        0.5,
        1,
        2,
        32,
        60,
        60,
    ]


def test_sleep_ends_with_a_stop():
    start = time.monotonic()
    asyncio.run(retries.sleep(30, lambda: time.monotonic() - start > 0.1))
    assert time.monotonic() - start < 5
