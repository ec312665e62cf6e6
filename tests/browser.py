"""A Chromium without a window, driven through a pipe: what a page shows, says and asks for."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
PATIENCE = 30.0
# Chromium reads commands from descriptor 3 and answers on 4.
_LAUNCH = (
    "import os, sys; r, w = map(int, sys.argv[1:3]); os.dup2(r, 3); os.dup2(w, 4); os.execvp(sys.argv[3], sys.argv[3:])"
)
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-default-apps", "--no-default-browser-check", "--hide-scrollbars",
    "--mute-audio", "--no-proxy-server",
)  # fmt: skip


def installed() -> str:
    """Return the path of a Chromium, or skip the test with the reason."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no Chromium is installed: none of {', '.join(NAMES)} is on PATH")


class Seen(NamedTuple):
    """What a page did while it was open."""

    complaints: list[str]
    """What the console and the log of the browser say, and dialogs that were opened."""
    requests: list[str]
    """All addresses that were to be asked for."""
    refused: list[str]
    """Those of them that the policy of the page forbade."""


class Page:
    """One page, opened at a width and in light or dark."""

    def __init__(self, browser: Browser, session: str, seen: Seen) -> None:
        self._browser, self._session, self.seen = browser, session, seen

    def evaluate(self, script: str) -> Any:
        """Return what an expression gives."""
        answer = self._browser.send("Runtime.evaluate", self._session, expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        answer = self._browser.send("Page.captureScreenshot", self._session, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])


class Browser:
    """A running Chromium.

    Args:
        folder: Where it may keep its profile.
    """

    def __init__(self, folder: Path) -> None:
        chromium = installed()
        its_commands, commands = os.pipe()
        answers, its_answers = os.pipe()
        self._commands, self._answers = commands, answers
        self._buffer = b""
        self._events: list[dict[str, Any]] = []
        self._number = 0
        command = [sys.executable, "-c", _LAUNCH, str(its_commands), str(its_answers), chromium, *_OPTIONS]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(its_commands, its_answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(folder)},
            start_new_session=True,
        )
        os.close(its_commands)
        os.close(its_answers)

    def open(self, path: Path, width: int, scheme: str) -> Page:
        """Open a file."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable", session)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", session, **size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", session, features=[feature])
        self.send("Page.navigate", session, url=path.absolute().as_uri())
        self._wait_for("Page.loadEventFired")
        # Two frames later all is laid out, and what was to be asked for has been asked for.
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
        self.send("Runtime.evaluate", session, expression=frames, awaitPromise=True)
        return Page(self, session, Seen([*self._complaints()], [*self._requests()], [*self._refused()]))

    def _complaints(self) -> Iterator[str]:
        kinds = (
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Page.javascriptDialogOpening",
        )
        yield from (json.dumps(event) for event in self._events if event["method"] in kinds)

    def _requests(self) -> Iterator[str]:
        for event in self._events:
            if event["method"] == "Network.requestWillBeSent":
                yield event["params"]["request"]["url"]
            elif event["method"] == "Network.webSocketCreated":
                yield event["params"]["url"]

    def _refused(self) -> Iterator[str]:
        failed = [event["params"] for event in self._events if event["method"] == "Network.loadingFailed"]
        numbers = {each["requestId"] for each in failed if each.get("blockedReason") == "csp"}
        for event in self._events:
            if event["method"] == "Network.requestWillBeSent" and event["params"]["requestId"] in numbers:
                yield event["params"]["request"]["url"]

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        text = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while text:
            text = text[os.write(self._commands, text) :]
        while True:
            received = self._receive()
            if received.get("id") == self._number:
                assert "error" not in received, received
                return dict(received["result"])
            if "method" in received:
                self._events.append(received)

    def _wait_for(self, method: str) -> None:
        while all(event["method"] != method for event in self._events):
            self._events.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"Chromium has not answered for {PATIENCE} s"
            received = os.read(self._answers, 1 << 20)
            assert received, f"Chromium has ended with {self._process.wait(PATIENCE)}"
            self._buffer += received
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def close(self) -> None:
        """End it."""
        try:
            self.send("Browser.close")
            self._process.wait(PATIENCE)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)
        finally:
            os.close(self._commands)
            os.close(self._answers)
