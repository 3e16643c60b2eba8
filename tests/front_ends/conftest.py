"""Chromium for the tests of this folder, and the Jupyter server they look at."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import pytest

from ..harness.pages import EXPECT_TIMEOUT
from ..harness.servers import ClassicServer, JupyterServer
from ..harness.stacks import colab_stack, widgets7_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SHOTS = Path(os.environ.get("SHOTS") or HERE / "shots")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
PAGE_TIMEOUT = 30_000
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NO_NETWORK = ("data", "blob", "file", "about")
_FAILED = pytest.StashKey[bool]()


@dataclass
class Watch:
    """What a page did that cannot be seen on it."""

    outside: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def outside_except(self, *fragments: str) -> list[str]:
        """Return the requests that left this machine and contain none of the fragments."""
        return [url for url in self.outside if not any(part in url for part in fragments)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember a failure until the page is closed."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


# The scope is the package, not the session: while Playwright's sync API is started, its event
# loop counts as running in this thread, and asyncio.run() fails in every other test.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this folder."""
    if importlib.util.find_spec("playwright") is None:
        _missing("playwright is not installed")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=EXPECT_TIMEOUT)
    with sync_playwright() as playwright:
        program = _find_chromium() or playwright.chromium.executable_path
        if not Path(program).exists():
            _missing("Chromium is not installed")
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


def _find_chromium() -> str | None:
    chosen = os.environ.get("CHROMIUM")
    found = (shutil.which(name) for name in CHROMIUM_NAMES)
    return chosen or next((path for path in found if path), None)


def _missing(reason: str) -> NoReturn:
    """Skip on a developer's machine; in CI a browser test that cannot run is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def watch() -> Watch:
    """Requests of the page that left this machine, and its console."""
    return Watch()


@pytest.fixture
def page(browser: Browser, watch: Watch, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh page that cannot leave this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.route("**/*", lambda route: _guard(route, watch))
    page = context.new_page()
    page.set_default_timeout(PAGE_TIMEOUT)
    page.on("console", lambda message: watch.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: watch.console.append(f"page error: {error}"))
    yield page
    if request.node.stash.get(_FAILED, False):
        _tell(page, watch, request.node.name)
    context.close()


def _guard(route: Route, watch: Watch) -> None:
    address = urlsplit(route.request.url)
    if address.scheme in _NO_NETWORK or address.hostname in _LOOPBACK:
        route.fallback()
    else:
        watch.outside.append(route.request.url)
        route.abort()


def _tell(page: Page, watch: Watch, name: str) -> None:
    """Leave behind what a person needs to understand a red test."""
    path = _shot_path(f"failed-{name}")
    page.screenshot(path=path)
    print(f"screenshot: {path}")
    print("console:", *watch.console[-40:], sep="\n  ")
    print("outside:", *watch.outside, sep="\n  ")


def _shot_path(name: str) -> Path:
    SHOTS.mkdir(parents=True, exist_ok=True)
    return SHOTS / (re.sub(r"[^\w.-]+", "-", name) + ".png")


@pytest.fixture
def shot(page: Page) -> Callable[[str], Path]:
    """Take a screenshot of the page under a name: ``shot("lab-dark")``."""

    def take(name: str) -> Path:
        path = _shot_path(name)
        page.screenshot(path=path)
        return path

    return take


@pytest.fixture(scope="package")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """The server of all tests; ``server`` hands it to one of them."""
    with JupyterServer(tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@pytest.fixture(scope="package")
def shared_colab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A second server, which offers Colab's stack as the kernel "colab"."""
    folder = tmp_path_factory.mktemp("jupyter-colab")
    with JupyterServer(folder, python=widgets7_server(REPOSITORY)) as running:
        running.add_kernel("colab", colab_stack(REPOSITORY))
        yield running


@pytest.fixture(scope="package")
def shared_classic_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClassicServer]:
    """A third server: the classic Notebook, server and kernels on Colab's stack."""
    folder = tmp_path_factory.mktemp("classic")
    with ClassicServer(folder, colab_stack(REPOSITORY)) as running:
        yield running


@pytest.fixture
def server(shared_server: JupyterServer) -> Iterator[JupyterServer]:
    """The Jupyter server, left without kernels after the test."""
    yield shared_server
    shared_server.stop_kernels()


@pytest.fixture
def colab_server(shared_colab_server: JupyterServer) -> Iterator[JupyterServer]:
    """The server for Colab's stack, left without kernels after the test."""
    yield shared_colab_server
    shared_colab_server.stop_kernels()


@pytest.fixture
def classic_server(shared_classic_server: ClassicServer) -> Iterator[ClassicServer]:
    """The classic Notebook's server, left without kernels after the test."""
    yield shared_classic_server
    shared_classic_server.stop_kernels()


@pytest.fixture
def alerts(page: Page) -> Iterator[list[str]]:
    """What a page said in dialogs; nothing of ours opens one."""
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    yield said
    assert said == []
