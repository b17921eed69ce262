"""A real browser: Debian's Chromium without a window, driven through its own driver.

IO. What it says on its console is kept, and each breach of the content security policy with it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from tests.fakes.programs import require_program

WAIT_SECONDS = 30
PHONE, DESK = 390, 1280  # CSS pixels
_HEIGHT = 900
_MAX_PICTURE_HEIGHT = 8000
_OPTIONS = (
    "--headless=new",
    "--disable-dev-shm-usage",  # a container has little of it
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
# Runs before the page's own script, and outside its policy.
_WATCH = """
window.breaches = [];
document.addEventListener("securitypolicyviolation", (e) => breaches.push(e.violatedDirective));
"""


class Browser:
    """One window; a new page for each test."""

    def __init__(self, driver: Chrome) -> None:
        """Drive it by `driver`."""
        self.driver = driver

    def open(self, url: str) -> None:
        """Load a page, and wait until its script runs."""
        self.driver.get(url)
        self.wait("return document.documentElement.classList.contains('live')")

    def run(self, script: str, *values: Any) -> Any:
        """Evaluate a script in the page."""
        return self.driver.execute_script(script, *values)

    def wait(self, script: str, *values: Any) -> Any:
        """Wait until a script gives something true, and take that."""
        waiting = WebDriverWait(self.driver, WAIT_SECONDS, poll_frequency=0.05)
        return waiting.until(lambda _: self.run(script, *values), script)

    def command(self, name: str, **parameters: Any) -> Any:
        """Tell the browser itself something (Chrome DevTools Protocol)."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def look(self, *, width: int, scheme: str = "light", motion: str = "reduce") -> None:
        """Be a screen of some width, of somebody who prefers light or dark."""
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        listed = [{"name": name, "value": value} for name, value in features.items()]
        self.command("Emulation.setEmulatedMedia", features=listed)
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=_HEIGHT,
            deviceScaleFactor=1,
            mobile=width == PHONE,
        )

    def picture(self, path: Path) -> None:
        """Take a picture of the whole page."""
        width, height = self.run(
            "const d = document.documentElement;return [d.clientWidth, d.scrollHeight]"
        )
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, _MAX_PICTURE_HEIGHT)}
        shot = self.command(
            "Page.captureScreenshot", captureBeyondViewport=True, clip={**clip, "scale": 1}
        )
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """What it said on the console since it was asked last, and breaches of the policy."""
        log = [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
        return log + [f"policy: {breach}" for breach in self.run("return window.breaches || []")]


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Start a browser.

    Args:
        folder: an empty one, for its profile.

    Raises:
        pytest.skip.Exception: it is not installed; a failure when CI=true.
    """
    program = require_program("chromium", "chromium chromium-driver")
    driver_program = require_program("chromedriver", "chromium-driver")
    options = ChromeOptions()
    options.binary_location = program
    sandbox = () if os.geteuid() else ("--no-sandbox",)  # which root may not have
    for option in (*_OPTIONS, *sandbox, f"--user-data-dir={folder}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options=options, service=Service(driver_program)) as driver:
        driver.set_script_timeout(WAIT_SECONDS)
        browser = Browser(driver)
        browser.command("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        yield browser
