"""`edgebench report` as people meet it: the file in a real browser, and what the command refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.contract import Accuracy, LoadPattern
from edge.results.store import Store
from profiles.schema import Price, Thresholds
from tests.browser import Browser
from tests.made import drawn, measured
from tests.operator import Operator
from tests.report_lab import Made, add, answered

pytestmark = pytest.mark.leaves("the browser serves all tests of the module")
HOSTILE = "<img src=x onerror='window.broken=1'><b>bold</b>"
MADE = (
    Made("aaaa1", ms=2.0),
    Made("aaaa2", ms=3.0, framework="tensorflow"),
    Made("aaaa3", ms=4.0, backend="onnxruntime"),
    Made("aaaa4", ms=8.0, batch=8),
    Made("bbbb1", ms=1.0, device="orin-2", price=Price(0.36, "EUR", "fleet.toml")),
    Made("bbbb2", ms=1.1, device="orin-2", slower=0.5, batch=8),
)


@pytest.fixture
def results(operator: Operator) -> Path:
    return operator.home / ".local/share/edgebench"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("reporting")
    add(home / ".local/share/edgebench", *MADE)
    answer = Operator(home).run("report", "--html", "r.html")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("6 measurements in r.html")
    return (home / "r.html").as_uri()


class TestThePage:
    def test_opens_without_a_complaint_and_asks_for_nothing(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        assert browser.complaints() == []
        assert browser.requests() == [page]
        assert browser.ask("document.querySelectorAll('.plot .main-svg').length") > 0

    def test_shows_accuracy_and_late_answers_beside_speed(self, browser: Browser, operator: Operator) -> None:
        made = answered(Made("cccc1"), Accuracy(60, 42, 54, 1000), 20, 50_000_000)
        add(operator.home / ".local/share/edgebench", made, Made("cccc2", batch=8))
        assert operator.run("report", "--html", "r.html").code == 0
        browser.open((operator.home / "r.html").as_uri(), 2)
        assert browser.complaints() == []
        row = " ".join(browser.texts("#rows tr[data-id='cccc1'] td"))
        assert "70 %" in row
        assert "90 %" in row
        assert "2 %" in row
        assert "%" not in " ".join(browser.texts("#rows tr[data-id='cccc2'] td"))
        hover = "document.getElementById('plot-pareto').data.flatMap(trace => trace.text || []).join(' ')"
        assert "top-1 70.0%" in browser.ask(hover)

    def test_strikes_out_what_is_invalid_and_says_why(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        assert browser.texts("#rows tr.INVALID") != []
        assert all(browser.texts("#rows tr.INVALID s"))
        assert "unstable" in browser.texts("#rows tr.INVALID .why")[0]
        assert browser.texts("#rows tr:not(.INVALID) s") == []

    def test_draws_what_is_invalid_only_when_asked(self, browser: Browser, page: str) -> None:
        drawn = "document.getElementById('plot-batch').data.flatMap(trace => trace.x).length"
        browser.open(page, 6)
        assert browser.ask(drawn) == 5
        browser.find("#invalid").send_keys(" ")
        assert browser.ask(drawn) == 6

    def test_is_filtered_by_the_keyboard(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        browser.find("#filter-device").send_keys("orin-2")
        assert browser.texts("#rows tbody tr[data-id] td:nth-child(2)") == ["orin-2", "orin-2"]
        assert browser.texts("#count") == ["2 of 6 measurements"]
        browser.find("button[type=reset]").send_keys("\n")
        browser.wait_for("document.getElementById('count').textContent === '6 of 6 measurements'")
        browser.find("#search").send_keys("tensorflow")
        assert browser.texts("#rows tbody tr td:nth-child(4)") == ["tensorflow"]

    def test_is_sorted_by_the_keyboard(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        order = "[...document.querySelectorAll('#rows tbody tr')].map(row => row.dataset.id).join(' ')"
        browser.find("button[data-column='median ms']").send_keys("\n")
        assert browser.ask(order) == "bbbb1 bbbb2 aaaa1 aaaa2 aaaa3 aaaa4"
        assert browser.ask("document.activeElement.dataset.column") == "median ms"
        browser.find("button[data-column='median ms']").send_keys("\n")
        assert browser.ask(order) == "aaaa4 aaaa3 aaaa2 aaaa1 bbbb2 bbbb1"
        assert browser.find("th[aria-sort=descending]").text.startswith("median ms")

    def test_shows_the_measurement_that_is_looked_at(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        browser.find("tr[data-id=bbbb1] button").send_keys("\n")
        assert browser.ask("document.getElementById('chosen').value") == "bbbb1"
        assert "edgebench results show bbbb1" in browser.texts("#one .again")[0]
        assert browser.ask("document.getElementById('plot-time').data.length") > 10

    def test_has_ratios_with_the_commands_that_make_them(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        assert "1.5" in browser.texts("#ratio-rows tbody tr")[0]
        assert browser.texts("#ratio-rows code")[0] == "edgebench compare aaaa1 aaaa2 --across framework"

    def test_stacks_the_parts_of_a_start_cold_and_warm(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        drawn = "document.getElementById('plot-loading').data"
        assert browser.ask(f"{drawn}.map(trace => trace.name)") == [
            "Python", "import", "load", "inputs handed over", "first inference",
        ]  # fmt: skip
        assert browser.ask(f"{drawn}[2].x.slice(-2)") == [0.4, 1.4], "the first measurement's, from the top"
        assert "onnxruntime" not in browser.texts("#starts tbody tr")[0]
        cold, warm = browser.texts("#starts tbody tr:nth-child(-n+2)")
        assert ("cold" in cold, "21.9" not in cold, "warm" in warm) == (True, True, True)

    def test_stacks_the_memory_that_each_stage_added(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        drawn = "document.getElementById('plot-memory').data"
        assert browser.ask(f"{drawn}.map(trace => [trace.name, trace.x[0]])") == [
            ["import", 30], ["load", 120], ["first inference", 10], ["timed", 0],
        ]  # fmt: skip

    def test_tells_what_a_million_images_cost_where_there_is_a_price(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        (row,) = browser.texts("#costs tbody tr")
        assert "EUR" in row
        assert "at 0.36 EUR an hour (fleet.toml)" in row
        assert "Without: 5 (the profile jetson-agx-orin-64gb has no price an hour" in browser.texts("#costs caption")[0]
        assert "a million images" in browser.texts("#matrix tbody tr")[1]

    def test_has_the_overhead_of_drawn_sizes(self, browser: Browser, operator: Operator, results: Path) -> None:
        calm, pattern = Thresholds(9.0, 9.0, 9.0), LoadPattern.parse("sizes:224,256")
        made = [drawn([{224: (40, 11.0), 256: (10, 20.0)}] * 2, name="drawn001", pattern=pattern, thresholds=calm)]
        made += [measured(ms, ms, size=(px, px), name=f"alone{px}") for px, ms in ((224, 10.0), (256, 25.0))]
        for row, samples in made:
            Store(results).add(row.measurement, samples.astype("<i8").tobytes())
        answer = operator.run("report", "--html", "r.html")
        assert answer.code == 0, answer.err
        browser.open((operator.home / "r.html").as_uri(), 3)
        assert browser.complaints() == []
        assert [browser.texts(f"#size-rows tbody tr:nth-child({row}) td") for row in (1, 2, 3)] == [
            ["all", "100", "", "", "-1.5 % (-1.5 % to -1.5 %)"],
            ["224 px", "80", "11", "10", "+10.0 % (+10.0 % to +10.0 %)"],
            ["256 px", "20", "20", "25", "-20.0 % (-20.0 % to -20.0 %)"],
        ]
        assert len(browser.texts("#size-rows tbody tr")) == 3

    @pytest.mark.parametrize("width", [390, 1280])
    def test_fits_the_width_of_a_screen(self, browser: Browser, page: str, width: int) -> None:
        browser.emulate(width=width)
        browser.open(page, 6)
        assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
        assert browser.ask("innerWidth") == width

    def test_follows_the_light_around_it(self, browser: Browser, page: str) -> None:
        paper = "getComputedStyle(document.body).backgroundColor"
        ink = "document.getElementById('plot-batch').layout.font.color"
        browser.emulate(scheme="light")
        browser.open(page, 6)
        assert (browser.ask(paper), browser.ask(ink)) == ("rgb(255, 255, 255)", "#1b1f24")
        browser.emulate(scheme="dark")
        browser.wait_for(f"{ink} === '#e6e9ed'")
        assert browser.ask(paper) == "rgb(20, 23, 27)"

    def test_is_printed_on_white_without_its_filters(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        browser.emulate(scheme="dark", medium="print")
        assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not browser.find("#filters").is_displayed()
        browser.driver.execute_script("dispatchEvent(new Event('beforeprint'))")
        plot = "document.getElementById('plot-batch')"
        assert browser.ask(f"[{plot}.layout.font.color, {plot}.querySelector('svg').clientWidth]") == ["#1b1f24", 680]
        browser.driver.execute_script("dispatchEvent(new Event('afterprint'))")
        assert browser.ask(f"{plot}.querySelector('svg').clientWidth") > 680

    def test_names_its_parts_to_who_cannot_see_them(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        named = "[...document.querySelectorAll('select, input, button, [role=img], [role=region]')]"
        nameless = f"{named}.filter(e => !(e.labels?.length || e.ariaLabel || e.textContent))"
        assert browser.ask(f"{nameless}.length") == 0
        assert browser.ask("[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent)")
        assert browser.ask("document.querySelectorAll('h1').length") == 1

    def test_runs_no_script_that_somebody_put_into_it(self, browser: Browser, page: str) -> None:
        browser.open(page, 6)
        browser.inject()
        assert browser.ask("window.broken") is None
        assert "Content Security Policy" in browser.complaints()[0]

    def test_shows_hostile_names_as_they_are(self, browser: Browser, operator: Operator, results: Path) -> None:
        add(results, Made("aaaa1", device=HOSTILE, model=HOSTILE, identity={"l4t": HOSTILE}))
        add(results, Made("aaaa2", device="b", model=HOSTILE, backend=HOSTILE, framework=HOSTILE))
        assert operator.run("report", "--html", "r.html").code == 0
        browser.open((operator.home / "r.html").as_uri(), 2)
        assert browser.texts("#rows tbody td:nth-child(2)") == [HOSTILE, "b"]
        assert browser.ask("document.querySelectorAll('body img, #rows b').length") == 0
        assert browser.complaints() == []


class TestTheCommand:
    def test_takes_what_is_picked(self, operator: Operator, results: Path) -> None:
        add(results, *MADE)
        answer = operator.run("report", "--html", "r.html", "--device", "orin-2", "--json")
        assert answer.json["measurements"] == 2
        assert answer.json["bytes"] == (operator.home / "r.html").stat().st_size
        assert "--device orin-2" in (operator.home / "r.html").read_text()

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "say --html FILE, --live, --claims or --matrix"),
            (["--html", "r.html", "--live"], "say one of --html FILE and --live"),
            (["--html", "r.html"], "no measurement is so"),
            (["--html", "r.html", "abcd"], "no measurement begins with 'abcd'"),
            (["--live", "--host", "0.0.0.0"], "takes a token"),
            (["--live", "--host", "0.0.0.0", "--token", "short"], "16 printable ASCII characters"),
            (["--live", "--host", "192.0.2.1", "--token", "0123456789abcdef"], "cannot be listened on"),
        ],
    )
    def test_refuses_in_one_sentence(self, operator: Operator, arguments: list[str], says: str) -> None:
        answer = operator.run("report", *arguments)
        assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
        assert says in answer.err
        assert not (operator.home / "r.html").exists()

    def test_opens_it_in_the_browser_of_the_operator(
        self, operator: Operator, results: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(results, MADE[0])
        script = operator.home / "browser"
        script.write_text('#!/bin/sh\necho "$1" > opened\n')
        script.chmod(0o755)
        monkeypatch.setenv("BROWSER", f"{script} %s")
        assert operator.run("report", "--html", "r.html", "--open").code == 0
        assert (operator.home / "opened").read_text().strip() == (operator.home / "r.html").as_uri()

    def test_without_plotly_names_the_extra(self, operator: Operator, results: Path) -> None:
        add(results, MADE[0])
        operator.prelude = "import sys; sys.modules['plotly'] = None"
        answer = operator.run("report", "--html", "r.html")
        assert (answer.code, "pip install 'edgebench[report]'" in answer.err) == (2, True)

    def test_leaves_the_old_file_where_it_cannot_write(self, operator: Operator, results: Path) -> None:
        add(results, MADE[0])
        (operator.home / "r.html").mkdir()
        answer = operator.run("report", "--html", "r.html")
        assert (answer.code, answer.err) == (2, "edgebench: r.html: is a folder; name a file in it\n")
        assert sorted(path.name for path in operator.home.iterdir()) == [".local", "r.html"]
