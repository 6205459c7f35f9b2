"""A page of ten thousand measurements in a real browser: one that was read from files, and so many like it."""

from __future__ import annotations

import pytest

from edge.report.page.document import MOST, Reader
from edge.report.page.html import offline
from tests.browser import Browser
from tests.report_lab import Made, add, many_like

pytestmark = pytest.mark.leaves("the browser serves all tests of the module")
DRAWN = 200


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("large")
    add(home, Made("aaaa1", count=2000))
    found = Reader(home, home / "artifacts").document(["aaaa1"] * 1001, ["edgebench", "report"])
    (home / "r.html").write_text(offline(many_like(found, MOST)))
    return (home / "r.html").as_uri()


def lines(browser: Browser) -> int:
    return int(browser.ask("document.querySelectorAll('#rows tbody tr').length"))


def test_says_how_many_are_drawn_and_draws_each_plot(browser: Browser, page: str) -> None:
    browser.open(page, MOST)
    assert browser.complaints() == []
    assert browser.find("#count").text.startswith(
        f"{MOST:,} of {MOST:,} measurements; plots and tables have the first {DRAWN}"
    )
    assert lines(browser) == DRAWN
    assert browser.texts("#rows caption")[0].startswith(f"The first {DRAWN} in this order of {MOST:,} measurements")
    drawn = set(browser.ask("[...document.querySelectorAll('.plot')].filter(e => e.data).map(e => e.id)"))
    assert drawn >= {"plot-batch", "plot-pareto", "plot-ecdf", "plot-ratios-framework", "plot-layers"}
    assert "a page of so many measurements" in browser.find("#plot-time").text


def test_a_filter_reaches_all_of_them(browser: Browser, page: str) -> None:
    browser.open(page, MOST)
    browser.driver.execute_script("document.getElementById('filter-device').value = 'device-7'")
    browser.driver.execute_script("document.getElementById('filters').dispatchEvent(new Event('input'))")
    assert browser.find("#count").text == f"100 of {MOST:,} measurements"
    assert lines(browser) == 100
    assert browser.texts("#matrix tbody th") == ["device-7"]


def test_what_is_sorted_is_all_of_them(browser: Browser, page: str) -> None:
    """The longest median is that of the last, which the first 200 have not."""
    browser.open(page, MOST)
    for _ in range(2):
        browser.driver.execute_script("document.querySelector('#rows [data-column=\"median ms\"]').click()")
    last = f"{MOST - 1:020x}"
    assert browser.ask("document.querySelector('#rows tbody tr').dataset.id") == last
    browser.driver.execute_script("document.querySelector('#rows tbody tr button').click()")
    assert browser.ask("document.getElementById('chosen').value") == last
    assert browser.complaints() == []
