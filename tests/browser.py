"""A real Chromium, driven by its DevTools protocol; no more than the tests need."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-port=0",
)


class Tab:
    """One page."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._number, self.errors = socket, 0, []

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer; errors of the page's scripts are kept."""
        self._number += 1
        await self._socket.write_message(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            answer = json.loads(await asyncio.wait_for(self._socket.read_message(), 30))
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"])
            if answer.get("id") == self._number:
                return dict(answer.get("result", {}))

    async def open(self, path: Path, width: int = 1000, height: int = 800, **features: str) -> None:
        """Loads a file in a window of that size, under media features such as `prefers_reduced_motion="reduce"`."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.send("Emulation.setEmulatedMedia", features=wanted)
        phone = width < 600
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        await self.send("Emulation.setDeviceMetricsOverride", **size)
        await self.send("Page.navigate", url=path.as_uri())
        for _ in range(200):
            if await self.value("document.readyState") == "complete":
                return
            await asyncio.sleep(0.02)

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression gives."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    async def click(self, selector: str, nth: int = 0) -> None:
        """Presses the mouse in the middle of an element, where it lies on the screen."""
        box = await self.value(
            f"(() => {{const e = document.querySelectorAll({selector!r})[{nth}];"
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    async def key(self, key: str, code: int) -> None:
        """Presses a key where the focus is."""
        for kind in ("rawKeyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)


def drive(steps: Callable[[Tab], Coroutine[Any, Any, None]]) -> None:
    """Runs the steps in a browser of their own, which ends with them."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [CHROMIUM or "chromium", *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            asyncio.run(_driven(_port(Path(folder) / "DevToolsActivePort"), steps))
        finally:
            process.terminate()
            process.wait(30)


def _port(path: Path) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if path.exists() and path.read_text().strip():
            return int(path.read_text().split()[0])
        time.sleep(0.05)
    raise TimeoutError("the browser did not start")


async def _driven(port: int, steps: Callable[[Tab], Coroutine[Any, Any, None]]) -> None:
    answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json")
    page = next(t for t in json.loads(answer.body) if t["type"] == "page")
    socket = await websocket_connect(page["webSocketDebuggerUrl"], max_message_size=1 << 26)
    tab = Tab(socket)
    await tab.send("Page.enable")
    await tab.send("Runtime.enable")
    try:
        await steps(tab)
    finally:
        socket.close()
