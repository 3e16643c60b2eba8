"""Table K: the key goes to the API's own origin, and is seen nowhere else. See also test_keys.py
(where it comes from) and test_canary.py (everything that is shown or written)."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import io
import json
import os
import pickle
import pprint
import socket
import stat
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import ipywidgets
import pytest
from IPython.lib.pretty import pretty

import nanobanana_nb as nb
from nanobanana_nb import Client, ConfigError, ImageRequest, Sandbox, Settings, Studio, errors
from nanobanana_nb.keys import KEY_NAME, Found, Remark, Secret
from nanobanana_nb.magics import NanoBananaMagics

from ..conftest import drawing_at
from ..harness.environment import child_environment
from ..harness.kernels import Kernel
from ..panel.hand import OPENED, every, opened
from .searching import CANARY, hits, variables_with_key

FOX = ImageRequest("a fox")


@contextlib.contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does this with every connection; its address."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()

        def run() -> None:
            while True:
                try:
                    connection = door.accept()[0]
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):  # the client has gone
                behave(connection)

        threading.Thread(target=run, daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        door.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket) -> None:
    """Read a little and break the connection off."""
    connection.recv(10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def garbage(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b"\x00no HTTP at all\r\n\r\n")
    connection.close()


def cut(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"code":')
    connection.close()


def echo(connection: socket.socket) -> None:
    """Say to the client what it has sent, as gateways do in their error pages."""
    asked = connection.recv(1 << 16).decode()
    said = json.dumps({"code": 401, "message": f"Invalid API key in {asked}"}).encode()
    head = f"HTTP/1.1 401 Unauthorized\r\nContent-Length: {len(said)}\r\n\r\n"
    connection.sendall(head.encode() + said)
    connection.close()


def silence(connection: socket.socket) -> None:
    """Answer nothing, and keep the connection."""
    _kept.append(connection)


_kept: list[socket.socket] = []


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    yield
    while _kept:
        _kept.pop().close()


# ------------------------------------------------------------------ K1: what objects show


def objects(studio: Studio) -> Iterator[object]:
    """One of everything that people can hold."""
    settings = studio.settings
    yield from (settings, settings.api_key, settings.found, studio, Settings, Secret)
    yield Found(Secret(CANARY), "the keyring", (Remark("a source", "said nothing"),))
    yield Client(CANARY, base_url=settings.base_url)
    fox = studio.wait(studio.generate("a fox", output_format="jpeg"))
    two = studio.wait(studio.generate("a fox", count=2))
    yield from (fox, fox.image, fox.request, two)
    yield studio.wait(studio.grid("a {animal}", animal=["fox", "owl"]))
    yield studio.wait(studio.batch(["a fox"]))
    yield studio.wait(studio.history())
    yield studio.wait(studio.lineage(fox.id))
    yield studio.wait(studio.styles())
    yield studio.wait(studio.account())
    yield from (nb.load(fox), nb.compare(fox, two[0]), nb.Schedule())
    panel = nb.Panel(studio)
    yield panel
    panel.close()
    assert studio._workshop is not None
    yield from (studio._workshop, studio._workshop.client, studio._workshop.account)
    with Sandbox(api_key=CANARY) as sandbox:
        yield sandbox


def shown(one: object) -> Iterator[str]:
    """All the ways in which an object is shown, or taken apart into what is."""
    yield from (repr(one), str(one), f"{one}", f"{one!r:>5}", pretty(one), pprint.pformat(one))
    for name in dir(one):
        if name.startswith("_repr_") or name == "_ipython_display_":
            with contextlib.suppress(Exception):
                yield repr(getattr(one, name)())
    yield repr(getattr(one, "__dict__", None))
    with contextlib.suppress(TypeError):
        yield json.dumps(one, default=repr)
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        yield repr([getattr(one, field.name) for field in dataclasses.fields(one)])
        with contextlib.suppress(TypeError):
            yield repr(dataclasses.asdict(one))


def test_k1_no_object_shows_the_key(sandbox: Sandbox, tmp_path: Path) -> None:
    """Whatever a notebook can do with an object: show it, format it, take it apart."""
    settings = Settings.load(
        base_url=sandbox.url, api_key=CANARY, home=tmp_path / "h", pictures=tmp_path / "p",
        first_poll=0.0, poll_interval=0.01, embed=True,
    )  # fmt: skip
    studio = Studio(settings)
    try:
        seen = 0
        for one in objects(studio):
            for text in shown(one):
                assert hits(text.encode()) == [], type(one)
                seen += 1
        assert seen > 200
    finally:
        studio.close()


def test_k1_a_key_given_as_text_is_hidden_at_once() -> None:
    """Also where `Settings` is made by hand, against its types."""
    settings = Settings(api_key=CANARY)  # type: ignore[arg-type]
    assert hits(repr(settings).encode() + repr(vars(settings)).encode()) == []
    assert settings.api_key == Secret(CANARY)
    assert settings.found.source == "an argument"


def test_k1_an_answer_that_repeats_the_key() -> None:
    """A gateway's error page may hold what was sent to it: we do not pass it on."""

    async def main(url: str) -> errors.KeyRefused:
        async with Client(CANARY, base_url=url) as client:
            with pytest.raises(errors.KeyRefused) as caught:
                await client.balance()
        return caught.value

    with serving(echo) as url:
        error = asyncio.run(main(url))
    assert "Invalid API key in" in error.detail
    assert "Bearer ***" in error.detail
    assert hits(repr([str(error), vars(error), error.args]).encode()) == []


# ------------------------------------------------------------------ K2: copies


def test_k2_nothing_that_holds_the_key_can_be_pickled(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nor copied deep: a pickle is a file, and a copy of the key in it."""
    studio = Studio(Settings.load(base_url=sandbox.url, api_key=CANARY, home=tmp_path))
    holders = [
        studio.settings.api_key,
        studio.settings.found,
        studio.settings,
        studio,
        Client(CANARY, base_url=sandbox.url),
        Client(CANARY, base_url=sandbox.url).submit,
        {"settings": studio.settings},
    ]
    for one in holders:
        for leak in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError):
                leak(one)
    with pytest.raises(TypeError, match="an API key cannot be pickled"):
        copy.copy(studio.settings.api_key)
    studio.close()


# ------------------------------------------------------------------ K4: tracebacks


async def failing(url: str) -> list[BaseException]:
    """The errors of a submit, a look, a download and a balance at this server."""
    caught: list[BaseException] = []
    async with Client(CANARY, base_url=url, timeout=0.05) as client:
        for call in (
            lambda: client.submit(FOX),
            lambda: client.status("task-1"),
            lambda: client.download(f"{url}/fox.png", lambda _: None),
            client.balance,
        ):
            try:
                await call()
            except Exception as error:
                caught.append(error)
    return caught


@pytest.mark.parametrize("behave", [reset, garbage, cut, silence, echo])
def test_k4_no_variable_of_any_frame_holds_the_key(behave: Callable[..., None]) -> None:
    """A real connection that breaks in the midst: in the frames of the error and of those that led
    to it, hidden ones included, no variable shows the key; nor does any printed form."""
    with serving(behave) as url:
        caught = asyncio.run(failing(url))
    assert len(caught) == 4
    for error in caught:
        assert variables_with_key(error) == []
        assert hits(printed(error).encode()) == []


def printed(error: BaseException) -> str:
    """The traceback with all variables, by the standard library and by rich."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    text = "".join(told.format())
    with contextlib.suppress(ImportError):
        from rich.console import Console
        from rich.traceback import Traceback

        page = Console(file=io.StringIO(), width=200, force_terminal=False)
        page.print(Traceback.from_exception(type(error), error, error.__traceback__,
                                            show_locals=True, locals_max_string=None))  # fmt: skip
        text += page.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_k4_stopped_at_every_step() -> None:
    """Stop reaches a submit anywhere, also while the head of the request, which holds the key, is
    being written: then httpx's own frames are in the traceback."""

    async def stopped(url: str, steps: int) -> BaseException | None:
        async with Client(CANARY, base_url=url) as client:
            submitting = asyncio.ensure_future(client.submit(FOX))
            for _ in range(steps):
                await asyncio.sleep(0)
            submitting.cancel()
            try:
                await submitting
            except asyncio.CancelledError as error:
                return error
        return None

    with serving(silence) as url:
        for steps in range(30):
            error = asyncio.run(stopped(url, steps))
            assert error is not None
            assert variables_with_key(error) == [], steps
            assert hits(printed(error).encode()) == []


@pytest.mark.parametrize(
    "fail",
    [
        lambda: Settings.load(api_key=f"{CANARY}\n"),
        lambda: Settings.load(api_key=CANARY, base_url="http://api.apixo.ai"),
        lambda: Settings.load(api_key=CANARY, budget="much"),
        lambda: Client(f"{CANARY}\n"),
        lambda: Client(CANARY, base_url="ftp://x"),
        lambda: Settings.load(first_poll=-1),
        Settings.load,
    ],
)
def test_k4_settings_that_are_wrong(fail: Callable[[], object], monkeypatch) -> None:
    """The key or another setting is no good: our frames hold no key, nor the whole environment
    with the key in it."""
    monkeypatch.setenv(KEY_NAME, CANARY)
    monkeypatch.setenv("NANOBANANA_POLL_INTERVAL", "soon")
    with pytest.raises(ConfigError) as caught:
        fail()
    assert variables_with_key(caught.value) == []
    assert hits(printed(caught.value).encode()) == []


XMODES = ("Plain", "Context", "Verbose", "Minimal")
FORMATTED = """
import asyncio, traceback
import nanobanana_nb as nb
def formatted(error):
    tb = get_ipython().InteractiveTB
    lines = tb.structured_traceback(type(error), error, error.__traceback__)
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "\\n".join(lines) + "".join(told.format())
async def caught(doing):
    try:
        await doing
    except BaseException as error:
        return formatted(error)
    return "nothing was raised"
async def stopped(client, steps):
    submitting = asyncio.ensure_future(client.submit(nb.ImageRequest("a fox")))
    for _ in range(steps):
        await asyncio.sleep(0)
    submitting.cancel()
    await submitting
"""
ALL_THAT_FAILS = """
async with nb.Client(nb.Settings.load().api_key, base_url={url!r}) as client:
    print(await caught(client.submit(nb.ImageRequest("a fox"))))
    print(await caught(client.status("task-1")))
    print(await caught(client.download({url!r} + "/fox.png", lambda _: None)))
    for steps in range({first}, {last}):
        print(await caught(stopped(client, steps)))
"""
CHAINED = """
try:
    nb.generate("a fox [sandbox {name}]")
except nb.NanoBananaError as error:
    raise RuntimeError("my own") from error
"""


def test_k4_every_xmode_in_a_kernel(python: Path, sandbox: Sandbox) -> None:
    """The newest IPython and Colab's show what stands in variables with `%xmode Verbose`: errors of
    ours, with the frames that their one line hides, bare and behind an error of the user's."""
    env = drawing_at(sandbox.url) | {KEY_NAME: CANARY}
    with serving(reset) as url, Kernel(python, env=env) as kernel:
        kernel.run(f"%load_ext nanobanana_nb\n{FORMATTED}")
        for mode in XMODES:
            kernel.run(f"%xmode {mode}")
            # The head of the request is written at about the eleventh step.
            steps = {"first": 8, "last": 14 if mode == "Verbose" else 8}
            told = kernel.run(ALL_THAT_FAILS.format(url=url, **steps))
            assert told.status == "ok", told.traceback
            assert "SubmitUnknown" in told.text
            assert "DownloadError" in told.text
            assert hits(told.text.encode()) == [], mode
            for name in ("401", "drop"):
                failed = kernel.run(CHAINED.format(name=name))
                assert failed.ename == "RuntimeError"
                whole = json.dumps([failed.traceback, failed.area.traceback, failed.displays])
                assert hits(whole.encode()) == [], (mode, name)
        assert "nanobanana_nb" in failed.traceback or mode == "Minimal"
        assert hits(kernel.log.encode()) == []


# ------------------------------------------------------------------ K5: logs

DRAW_AND_LOG = """
import asyncio, logging, sys, warnings
form = "LOG %(name)s %(levelname)s %(message)s %(args)r"
logging.basicConfig(level=0, stream=sys.stdout, format=form)
warnings.simplefilter("always")
import nanobanana_nb as nb
studio = nb.Studio()
async def main():
    asyncio.get_running_loop().slow_callback_duration = 0
    for prompt in ("a fox", "a fox [sandbox 401]", "a fox [sandbox drop]"):
        try:
            await studio.generate(prompt)
        except nb.NanoBananaError as error:
            logging.getLogger("mine").exception("it failed: %r", error)
asyncio.run(main(), debug=True)
studio.close()
"""


def test_k5_logs_at_debug(sandbox: Sandbox, tmp_path: Path) -> None:
    """The root logger at its lowest, asyncio's debug mode: what httpx and httpcore log of us holds
    no key, and we ourselves log nothing, so no link's signature either."""
    env = drawing_at(sandbox.url) | {KEY_NAME: CANARY, "PYTHONASYNCIODEBUG": "1"}
    env |= {"HTTPX_LOG_LEVEL": "trace", "NANOBANANA_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", DRAW_AND_LOG], env=child_environment(tmp_path, env),
        capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    told = done.stdout + done.stderr
    for logger in ("httpx INFO", "httpcore.http11 DEBUG", "asyncio DEBUG", "mine ERROR"):
        assert f"LOG {logger}".encode() in told, logger
    assert hits(told) == []
    assert not [line for line in told.splitlines() if line.startswith(b"LOG nanobanana_nb")]


# ------------------------------------------------------------------ K6, K16: no place for a key


@pytest.mark.parametrize(
    "option", [f"--key {CANARY}", f"--api-key={CANARY}", f"--API_KEY {CANARY}"]
)
def test_k6_no_magic_takes_a_key(sandbox: Sandbox, option: str) -> None:
    """A cell is saved with what is typed into it: the line says so and how to set the key, and
    does not repeat it."""
    from nanobanana_nb.prompting import parse

    with pytest.raises(errors.RequestError) as caught:
        parse(f"{option} a fox")
    told = str(caught.value)
    assert "nothing was sent" in told
    assert KEY_NAME in told
    assert "nb.login()" in told
    assert hits(told.encode()) == []


def test_k6_no_command_takes_a_key(tmp_path: Path) -> None:
    """Command lines are seen by other users and kept by shells."""
    from ..test_cli import Command

    told = Command(tmp_path, "http://127.0.0.1:9")("generate", "--api-key", CANARY, "a fox")
    assert told.returncode != 0
    assert KEY_NAME in told.stderr
    assert hits((told.stdout + told.stderr).encode()) == []


def test_k6_no_verb_and_no_trait_takes_a_key() -> None:
    """`nb.generate(api_key=...)` is an unknown option; `%config` knows no key."""
    with pytest.raises(errors.RequestError) as caught:
        nb.Studio.generate(None, "a fox", api_key=CANARY)  # type: ignore[arg-type, call-overload]
    assert hits(str(caught.value).encode()) == []
    assert not [name for name in NanoBananaMagics.class_trait_names() if "key" in name.lower()]


def test_k16_the_panel_has_no_field_for_a_key(studio: Studio) -> None:
    """What stands in a widget is saved in the notebook: there is no field to type it into, hidden
    or not, and the state of all widgets is without it."""
    with Sandbox(api_key=CANARY, latency=0) as api:
        own = Studio(dataclasses.replace(studio.settings, base_url=api.url, api_key=Secret(CANARY)))
        hand = opened(own)
        hand.draw("a fox")
        hand.shows(1)
        widgets = list(every(hand.panel.widget))
        assert not [one for one in widgets if isinstance(one, ipywidgets.Password)]
        assert len(widgets) > 20
        for one in widgets:
            assert hits(repr(one.get_state()).encode()) == []
        OPENED.pop().close()
        own.close()


# ------------------------------------------------------------------ K12: .netrc and proxies


def heard_by_a_proxy(connection: socket.socket) -> None:
    _heard.append(connection.recv(1 << 16))
    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    connection.close()


_heard: list[bytes] = []


def test_k12_netrc_is_not_used_and_a_proxy_gets_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passwords of a .netrc for the API's host and the results' go to neither, and a proxy is only
    asked for a way through: the key travels in the TLS that goes by it."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login somebody password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    _heard.clear()

    async def main() -> None:
        async with Client(CANARY) as client:
            with pytest.raises(errors.TransportError):
                await client.submit(FOX)
            with pytest.raises(errors.DownloadError):
                await client.download("https://cdn.apixo.ai/fox.png", lambda _: None)

    with serving(heard_by_a_proxy) as url:
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, url)
        asyncio.run(main())
    asked = [said.split(b"\r\n")[0] for said in _heard]
    assert asked[0] == b"CONNECT api.apixo.ai:443 HTTP/1.1"
    assert asked[-1] == b"CONNECT cdn.apixo.ai:443 HTTP/1.1"
    whole = b"".join(_heard)
    assert hits(whole) == []
    assert b"uthorization" not in whole


def test_k12_netrc_is_not_used_at_either_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked of the API carries our key and nothing of a .netrc; a result's server gets no
    credentials at all. Heard behind httpx, where it would add them."""
    import httpx

    netrc = tmp_path / ".netrc"
    netrc.write_text("default login somebody password from-netrc\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    seen: dict[str, list[str]] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen[request.url.host] = request.headers.get_list("Authorization")
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    async def main() -> None:
        async with Client(CANARY, transport=httpx.MockTransport(answer)) as client:
            with contextlib.suppress(errors.NanoBananaError):
                await client.balance()
            with contextlib.suppress(errors.NanoBananaError):
                await client.download("https://cdn.apixo.ai/fox.png", lambda _: None)

    asyncio.run(main())
    assert seen == {"api.apixo.ai": [f"Bearer {CANARY}"], "cdn.apixo.ai": []}


# ------------------------------------------------------------------ K15: who may read the files

DRAW_WITH_OPEN_DOORS = """
import os; os.umask(0)
import nanobanana_nb as nb
studio = nb.Studio()
studio.wait(studio.generate("a fox", count=2))
studio.close()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("sandbox_mode", ["never", "always"])
def test_k15_only_the_user_can_read_the_ledger_and_the_prompts(
    sandbox: Sandbox, tmp_path: Path, sandbox_mode: str
) -> None:
    """With umask 000, which lets everybody read and write: the home and what is made on the way to
    it are the user's alone, ledger and sidecars are too; pictures are as any program makes them."""
    home = tmp_path / "made" / "on the way" / "home"
    env = drawing_at(sandbox.url) | {"NANOBANANA_HOME": str(home)}
    env |= {"NANOBANANA_SANDBOX": sandbox_mode}
    subprocess.run(
        [sys.executable, "-c", DRAW_WITH_OPEN_DOORS], env=child_environment(tmp_path, env),
        check=True, timeout=60,
    )  # fmt: skip
    modes = {file: stat.S_IMODE(file.stat().st_mode) for file in home.rglob("*")}
    for folder in (home, home.parent, home.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    kept = home / "sandbox" if sandbox_mode == "always" else home
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert modes[kept / "ledger.sqlite3"] == 0o600
    sidecars = [file for file in modes if file.suffix == ".json"]
    assert len(sidecars) >= 2
    assert {modes[file] for file in sidecars} == {0o600}
    assert {modes[file] for file in modes if file.suffix == ".png"} == {0o666}
