"""A real browser without a window: Chromium, driven by selenium."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

PATIENCE_S = 30.0
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900")
_INJECT = """
const script = document.createElement("script");
script.textContent = "window.broken = 1";
document.body.append(script);
"""


@dataclass
class Browser:
    """`driver` is selenium's; the rest is what tests ask again and again."""

    driver: Any

    def open(self, address: str, measurements: int) -> None:
        """Open a report and wait until so many measurements are drawn."""
        self.driver.get(address)
        self.wait_for(f"document.body.dataset.drawn === '{measurements}'")

    def wait_for(self, condition: str) -> None:
        """Until JavaScript finds it true."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, PATIENCE_S, 0.05).until(lambda _: self.ask(condition))

    def ask(self, expression: str) -> Any:
        return self.driver.execute_script(f"return {expression}")

    def inject(self) -> None:
        """Add a script to the page, which would set `window.broken` where the page's policy let it run."""
        self.driver.execute_script(_INJECT)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        return [
            str(one)
            for one in self.ask(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")
        ]

    def emulate(self, *, width: int | None = None, scheme: str | None = None, medium: str = "") -> None:
        """A screen of that many pixels; light or dark; `print` for paper."""
        size = {"width": width or 0, "height": 800 if width else 0, "deviceScaleFactor": 1, "mobile": bool(width)}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}] if scheme else []
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": features})

    def complaints(self) -> list[str]:
        """What it has written to its console since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Every address that it has asked for since it was last asked."""
        told = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [one["params"]["request"]["url"] for one in told if one["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith("data:")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if importlib.util.find_spec("selenium") is None:
        missing.append("selenium")
    if missing:
        pytest.skip(f"no browser here: {' and '.join(missing)} not found (apt-get install chromium chromium-driver)")
    with started() as browser:
        yield browser


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for option in _OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """As it was when it began: no page, a desktop's screen, what it has told is forgotten."""
    chromium.driver.get("about:blank")
    chromium.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chromium.emulate()
    chromium.complaints()
    chromium.requests()
    return chromium
