"""Drives headless Chromium through its driver's own protocol, WebDriver: no library is needed."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pytest

# The key under which WebDriver hands out an element.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One window."""

    def __init__(self, address: str, width: int, height: int):
        self._session = f"{address}/session"
        self._profile = tempfile.mkdtemp(prefix="kgen-browser-")
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={self._profile}",
            f"--window-size={width},{height}",
        ]
        options = {"browserName": "chrome", "goog:chromeOptions": {"args": flags}}
        # The tests' proxy has a certificate of its own.
        options["acceptInsecureCerts"] = True
        options["goog:loggingPrefs"] = {"browser": "ALL"}
        session = _ask(self._session, {"capabilities": {"alwaysMatch": options}})
        self._session += f"/{session['sessionId']}"

    def open(self, address: str) -> None:
        _ask(f"{self._session}/url", {"url": address})

    def run(self, script: str, *arguments):
        """What a script returns."""
        return _ask(f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script: str, *arguments, seconds: float = 30.0):
        """What a script returns, as soon as that is true."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script, *arguments)):
            message = self.run("return document.getElementById('message').textContent")
            assert time.monotonic() < deadline, f"{script} stayed false; the page says: {message}"
            time.sleep(0.05)
        return value

    def click(self, selector: str) -> None:
        """Clicks as a user does: the element must be visible and not covered."""
        element = _ask(f"{self._session}/element", {"using": "css selector", "value": selector})
        _ask(f"{self._session}/element/{element[_ELEMENT]}/click", {})

    def drag(self, selector: str, path) -> None:
        """Presses the mouse on an element and moves it along `path`, pixels from its middle."""
        element = _ask(f"{self._session}/element", {"using": "css selector", "value": selector})
        move = {"type": "pointerMove", "duration": 0, "origin": element}
        moves = [dict(move, x=x, y=y) for x, y in path]
        actions = [moves[0], {"type": "pointerDown", "button": 0}, *moves[1:]]
        actions.append({"type": "pointerUp", "button": 0})
        mouse = {"type": "pointer", "id": "mouse", "actions": actions}
        _ask(f"{self._session}/actions", {"actions": [mouse]})

    def resize(self, width: int, height: int) -> None:
        """Pretends a screen of this size. A window cannot be as narrow as a phone."""
        metrics = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}
        _ask(f"{self._session}/goog/cdp/execute", command)

    def screenshot(self) -> bytes:
        """The window as a PNG file."""
        return base64.b64decode(_ask(f"{self._session}/screenshot"))

    def errors(self) -> list[str]:
        """What the console was told since the last call, with the level SEVERE."""
        entries = _ask(f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            _ask(self._session, method="DELETE")
        shutil.rmtree(self._profile, ignore_errors=True)


@contextlib.contextmanager
def browser(*, width: int = 1000, height: int = 1400):
    """A window that is open while the block runs. Skips the test where there is no Chromium."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    process = subprocess.Popen(
        [driver, "--port=0"], stdout=subprocess.PIPE, text=True, env=dict(os.environ, LANG="en")
    )
    try:
        line = next(line for line in process.stdout if "successfully on port" in line)
        port = line.rsplit("on port", 1)[1].strip(" .\n")
        window = Browser(f"http://127.0.0.1:{port}", width, height)
        try:
            yield window
        finally:
            window.close()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def _ask(address: str, body=None, *, method: str | None = None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(json.load(error)["value"]["message"]) from error
