"""What all tests share: no key or home of the developer's, a sandbox, a studio on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanobanana_nb import Sandbox, Settings, Studio

from .harness import nesting
from .harness.desk import TAB, Desk
from .harness.kernels import Kernel
from .harness.stacks import colab_stack

PROMPTS = Path(__file__).parents[2] / "shared" / "data" / "prompts.jsonl"


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make matrix` turns: whose kernels are tested, and what is done to their loop first."""
    parser.addoption("--kernel-python", help="test kernels of this interpreter only")
    parser.addoption(
        "--nest", choices=nesting.WAYS, help="patch every kernel's loop, before or after us"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Kernels start as the command line asks."""
    Kernel.start_up = nesting.start_up(config.getoption("--nest"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What uses `python` is tested with the newest stack and Colab's, or with the one named."""
    if "python" in metafunc.fixturenames:
        named = metafunc.config.getoption("--kernel-python")
        stacks = ["named"] if named else ["newest", "colab"]
        metafunc.parametrize("python", stacks, indirect=True, scope="module")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What uses `python` is a kernel test; what a patch is known to break says so."""
    for item in items:
        if "python" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kernel)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A developer's own key or home must never reach a test: a key spends money."""
    for name in list(os.environ):
        if name.startswith(("APIXO_", "NANOBANANA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NANOBANANA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The imitation API on a real socket, answering at once."""
    with Sandbox(latency=0) as running:
        yield running


@pytest.fixture
def slow_sandbox() -> Iterator[Sandbox]:
    """The same, with a second from the submit to the picture."""
    with Sandbox(latency=1) as running:
        yield running


def settings_for(url: str, home: Path, **more: object) -> Settings:
    """Settings for a quick API on this machine."""
    quick = {"first_poll": 0.0, "poll_interval": 0.02, "backoff": 0.01} | more
    return Settings.load(
        base_url=url, api_key="test-key", home=home, pictures=home / "pictures", **quick
    )


@pytest.fixture
def studio(sandbox: Sandbox, tmp_path: Path) -> Iterator[Studio]:
    """A studio that draws in the sandbox."""
    made = Studio(settings_for(sandbox.url, tmp_path / "home"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def python(request: pytest.FixtureRequest) -> Path:
    """This interpreter with the newest IPython, and that of Colab's stack, with IPython 7.34; or
    the one that `--kernel-python` names."""
    if request.param == "newest":
        return Path(sys.executable)
    if request.param == "colab":
        return colab_stack(Path(__file__).parents[1])
    return Path(request.config.getoption("--kernel-python"))


def drawing_at(url: str) -> dict[str, str | None]:
    """The environment of a kernel that draws at a quick API of this process."""
    return {
        "APIXO_BASE_URL": url,
        "APIXO_API_KEY": "test-key",
        "NANOBANANA_FIRST_POLL": "0",
        "NANOBANANA_POLL_INTERVAL": "0.02",
    }


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """The API that the shared kernel draws at."""
    with Sandbox(latency=0) as running:
        yield running


@pytest.fixture(scope="module")
def shared_kernel(python: Path, api: Sandbox) -> Iterator[Kernel]:
    """One kernel for all tests that leave it as it was."""
    with Kernel(python, env=drawing_at(api.url)) as running:
        assert running.run("%load_ext nanobanana_nb").status == "ok"
        running.run(TAB)
        yield running


@pytest.fixture
def desk(shared_kernel: Kernel, api: Sandbox) -> Desk:
    """The shared kernel, counted anew."""
    return Desk(shared_kernel, api)
