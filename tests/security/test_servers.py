"""Table S: what listens on this machine answers to this machine alone, and gives nothing away.

The sandbox and the callback receiver on real sockets, with requests that no honest client sends,
and a page of somebody else's in a real Chromium.
"""

from __future__ import annotations

import functools
import gc
import itertools
import json
import logging
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from queue import Queue
from types import FrameType, FunctionType, ModuleType
from urllib.parse import urlsplit

import pytest

from nanobanana_nb import Sandbox, webhook

from ..conftest import settings_for
from ..front_ends.conftest import CHROMIUM_FLAGS, _find_chromium, _missing
from ..test_callbacks import in_callback_mode, start
from ..test_cli import Command
from ..test_cli_serving import account_of, serving
from ..test_sandbox import BALANCE, STATUS, SUBMIT, WEB, raw, raw_get, red_square
from ..test_sandbox_callbacks import Receiver as Told
from ..test_sandbox_callbacks import callback_body, until
from ..test_webhook import Home, Receiver, callback, home, receiver  # noqa: F401 - fixtures

CANARY = "sk-live-7Qm2xV9canaryKd81ZrT4wLbE6"
"""What a real key may look like."""
LONG = 60.0

SERVING = """
import sys, threading
from pathlib import Path
import nanobanana_nb as nb
from nanobanana_nb import webhook
folder = Path(sys.argv[1])
settings = nb.Settings(home=folder, pictures=folder / "pictures", sandbox="always")
studio = nb.Studio(settings)
studio.wait(studio.generate("a fox"))
nb.Sandbox().start()
nb.Sandbox(host="localhost").start()
there = threading.Event()
threading.Thread(
    target=webhook.serve, args=(settings,),
    kwargs={"port": 0, "ready": lambda url: there.set()}, daemon=True,
).start()
assert there.wait(60)
print("there", flush=True)
sys.stdin.read()
"""
"""A process with all that can listen, as it is by default."""


def listening(process: int) -> list[str]:
    """The addresses at which a process listens, by the system's own books."""
    psutil = pytest.importorskip("psutil")
    open_sockets = psutil.Process(process).net_connections("inet")
    return [
        one.laddr.ip for one in open_sockets if one.status == psutil.CONN_LISTEN or one.type != 1
    ]


def head(target: str, *lines: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """A request as it is written; HOST stands for the right one."""
    written = (f"{method} {target} {version}", *lines, "Connection: close", "", "")
    return "\r\n".join(written).encode("latin-1")


def drawn(sandbox: Sandbox) -> str:
    """The task id of a PNG that is there."""
    body = {"input": {"prompt": "a fox", "output_format": "png"}}
    answer = WEB.post(sandbox.url + SUBMIT, json=body, headers={"Authorization": "Bearer a-key"})
    return str(answer.json()["data"]["taskId"])


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# -- S1: where they listen


def test_s1_every_listening_socket_is_on_loopback(tmp_path: Path) -> None:
    """The embedded sandbox, one that was started, and the receiver: nobody else on the network can
    connect to any of them, and each has a port of its own."""
    pytest.importorskip("uvicorn")
    command, pipe = [sys.executable, "-c", SERVING, str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "there\n", running.communicate()[1]
        found = listening(running.pid)
        running.communicate("", timeout=LONG)
    assert len(found) == 4
    assert all(ip_address(address).is_loopback for address in found), found


@pytest.mark.parametrize("words", [("sandbox",), ("listen",)])
@pytest.mark.skipif(os.name == "nt", reason="the process would not end in order")
def test_s1_the_commands_listen_on_loopback(words: tuple[str, ...], tmp_path: Path) -> None:
    """As they are by default, at the address that they print, and they warn of nothing."""
    pytest.importorskip("uvicorn")
    with serving(Command(tmp_path / "home", "http://127.0.0.1:9"), *words) as (running, told):
        assert listening(running.pid) == ["127.0.0.1"]
        assert urlsplit(told["url"]).hostname == "127.0.0.1"
        running.terminate()
        assert running.stderr is not None
        assert running.stderr.read() == ""


@pytest.mark.skipif(os.name == "nt", reason="the process would not end in order")
def test_s1_another_host_is_asked_for_and_warned_of(tmp_path: Path) -> None:
    """The receiver listens elsewhere only where that is said, and says in one line what that means;
    the sandbox, which takes any key, cannot be told to. It shows that the books tell the two
    apart."""
    pytest.importorskip("uvicorn")
    nanobanana = Command(tmp_path / "home", "http://127.0.0.1:9")
    with serving(nanobanana, "listen", "--host", "0.0.0.0") as (running, _):
        assert listening(running.pid) == ["0.0.0.0"]
        running.terminate()
        assert running.stderr is not None
        (warning,) = running.stderr.read().splitlines()
    assert warning.startswith("Warning: 0.0.0.0 can be reached by anybody")
    told = nanobanana("sandbox", "--host", "0.0.0.0")
    assert (told.returncode, told.stdout) == (2, "")


# -- S2: who they answer to

WRONG = {
    "no Host": head("/sandbox/account"),
    "no Host, HTTP/1.0": head("/sandbox/account", version="HTTP/1.0"),
    "HTTP/0.9": b"GET /sandbox/account\r\n\r\n",
    "an empty one": head("/sandbox/account", "Host:"),
    "a stranger": head("/sandbox/account", "Host: evil.com"),
    "a stranger with the port": head("/sandbox/account", "Host: evil.com:PORT"),
    "HTTP/1.0 and a stranger": head("/sandbox/account", "Host: evil.com:PORT", version="HTTP/1.0"),
    "no port": head("/sandbox/account", "Host: 127.0.0.1"),
    "another port": head("/sandbox/account", "Host: 127.0.0.1:1"),
    "another loopback address": head("/sandbox/account", "Host: 127.0.0.2:PORT"),
    "a dot at the end": head("/sandbox/account", "Host: localhost.:PORT"),
    "a name below it": head("/sandbox/account", "Host: evil.localhost:PORT"),
    "a name in front": head("/sandbox/account", "Host: a@HOST"),
    "a path behind": head("/sandbox/account", "Host: HOST/evil.com"),
    "two in one": head("/sandbox/account", "Host: HOST, evil.com"),
    "the right one first": head("/sandbox/account", "Host: HOST", "Host: evil.com"),
    "the right one last": head("/sandbox/account", "Host: evil.com", "Host: HOST"),
    "the right one twice": head("/sandbox/account", "Host: HOST", "Host: HOST"),
    "a blank before the colon": head("/sandbox/account", "Host : HOST"),
    "folded": head("/sandbox/account", "Host: evil.com", " HOST"),
    "a number": head("/sandbox/account", "Host: 2130706433:PORT"),
    "a target elsewhere": head("http://evil.com/sandbox/account", "Host: HOST"),
    "a target elsewhere, at the port": head("http://evil.com:PORT/sandbox/account", "Host: HOST"),
    "a target and no Host": head("http://HOST/sandbox/account"),
    "a target with a name": head("http://a@HOST/sandbox/account", "Host: HOST"),
    "another scheme": head("https://HOST/sandbox/account", "Host: HOST"),
    "a file": head("file:///sandbox/account", "Host: HOST"),
    "half an address": head("http://[", "Host: HOST"),
    "nothing that is a target": head("sandbox/account", "Host: HOST"),
    "a tunnel": head("evil.com:443", "Host: HOST", method="CONNECT"),
    "the server as such": head("*", "Host: HOST", method="OPTIONS"),
}


@pytest.mark.parametrize("written", WRONG.values(), ids=WRONG)
def test_s2_a_request_for_somebody_else_is_refused(
    sandbox: Sandbox, written: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """A name that was rebound to 127.0.0.1 is in Host, in every form in which HTTP can say it; none
    of them gets an answer, and none is a defect that prints."""
    port = str(urlsplit(sandbox.url).port).encode()
    answer = raw(sandbox, written.replace(b"PORT", port))
    assert b'"code": 421' in answer or b'"code": 501' in answer
    assert b"tasks" not in answer
    assert capfd.readouterr() == ("", "")


def test_s2_a_request_to_one_of_its_own_names_is_answered(sandbox: Sandbox) -> None:
    """In whatever form: the refusals above are no deafness."""
    port = str(urlsplit(sandbox.url).port)
    targets = ("/sandbox/account", "http://HOST/sandbox/account", f"HTTP://LocalHost:{port}/")
    for name in ("127.0.0.1", "localhost", "LocalHost", "[::1]"):
        for target in targets:
            for version in ("HTTP/1.0", "HTTP/1.1"):
                written = head(target, f"Host: {name}:{port}", version=version)
                assert status_of(raw(sandbox, written)) == 200, written


@pytest.mark.skipif(sys.platform == "darwin", reason="only 127.0.0.1 is there")
def test_s2_a_sandbox_elsewhere_on_this_machine_goes_by_its_own_name() -> None:
    """It is listened at where the user said, so that is asked for; nobody else's names are."""
    with Sandbox(host="127.0.0.2") as sandbox:
        assert WEB.get(f"{sandbox.url}/sandbox/account").status_code == 200
        assert WEB.get(f"{sandbox.url}/", headers={"Host": "127.0.0.3"}).status_code == 421


ORIGINS = (
    "https://evil.com",
    "http://evil.com:PORT",
    "http://HOST.evil.com",
    "https://HOST",
    "http://127.0.0.1",
    "HOST",
    "null",
    "",
)


def test_s2_a_page_of_another_origin_can_do_nothing(sandbox: Sandbox) -> None:
    """Whatever a browser can be made to send: a form's POST, one with the key of a script, a
    preflight. Nothing is billed, and no answer carries a permission. Its own page may ask."""
    port = str(urlsplit(sandbox.url).port)
    preflight = (
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: authorization,content-type",
        "Access-Control-Request-Private-Network: true",
    )
    body = json.dumps({"input": {"prompt": "a fox"}})
    for origin, kind in itertools.product(ORIGINS, ("application/json", "text/plain")):
        lines = (
            "Host: HOST",
            f"Origin: {origin.replace('PORT', port)}",
            f"Content-Type: {kind}",
            "Authorization: Bearer a-key",
            f"Content-Length: {len(body)}",
        )
        answers = [raw(sandbox, head(SUBMIT, *lines, method="POST") + body.encode())]
        answers += [raw(sandbox, head(path, *lines[:2])) for path in ("/", "/sandbox/account")]
        for path in (SUBMIT, STATUS, BALANCE, "/", "/sandbox/account", "/results/a.png"):
            answers.append(raw(sandbox, head(path, *lines[:2], *preflight, method="OPTIONS")))
        assert [status_of(answer) for answer in answers] == [403] * len(answers), origin
        assert all(b"access-control" not in answer.lower() for answer in answers)
    own = ("Host: HOST", "Origin: http://HOST")
    answers = [raw(sandbox, head("/", *own)), raw(sandbox, head("/", *own, method="OPTIONS"))]
    assert [status_of(answer) for answer in answers] == [200, 405]
    assert all(b"access-control" not in answer.lower() for answer in answers)
    twice = raw(sandbox, head("/sandbox/account", *own, "Origin: https://evil.com"))
    assert status_of(twice) == 403
    assert sandbox.tasks == ()


BROWSER = """
import json, sys
from playwright.sync_api import sync_playwright
program, flags, tries, pages = json.load(sys.stdin)
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=program, args=flags)
    seen = {}
    for origin, target in pages.items():
        page = browser.new_page()
        page.route(origin + "/evil", lambda route: route.fulfill(
            body="<iframe name=inside></iframe>", content_type="text/html"))
        page.goto(origin + "/evil")
        seen[origin] = page.evaluate(tries, target)
    print(json.dumps(seen))
"""
"""A browser whose names lead where the flags say, with a page of each origin."""
TRIES = """async base => {
  const seen = {};
  const ask = async (name, path, options) => {
    try {
      const answer = await fetch(base + path, options);
      seen[name] = [answer.status, await answer.text()];
    } catch { seen[name] = null; }
  };
  const headers = {Authorization: "Bearer a-key", "Content-Type": "application/json"};
  const body = JSON.stringify({input: {prompt: "theirs"}});
  await ask("read", "/sandbox/account");
  await ask("submit", "/generateTask/nano-banana", {method: "POST", headers, body});
  await ask("blind", "/generateTask/nano-banana", {method: "POST", mode: "no-cors", headers, body});
  navigator.sendBeacon(base + "/generateTask/nano-banana", body);
  const picture = new Image();
  seen.picture = await new Promise(done => {
    picture.onload = () => {
      const paper = new OffscreenCanvas(1, 1).getContext("2d");
      paper.drawImage(picture, 0, 0);
      try { done(String(paper.getImageData(0, 0, 1, 1).data)); } catch { done(null); }
    };
    picture.onerror = () => done(null);
    picture.src = base + "/PICTURE";
  });
  const form = document.createElement("form");
  Object.assign(form, {method: "post", enctype: "text/plain", target: "inside"});
  form.action = base + "/generateTask/nano-banana";
  const field = document.createElement("input");
  field.name = '{"input":{"prompt":"theirs"},"a":"'; field.value = '"}';
  form.append(field);
  document.body.append(form);
  const loaded = new Promise(done => document.querySelector("iframe").onload = done);
  form.submit();
  await loaded;
  return seen;
}"""
"""What a page can have a browser send, and what it gets to see of it."""


@pytest.mark.browser
def test_s2_a_hostile_page_in_a_real_browser(sandbox: Sandbox) -> None:
    """A page somewhere on the web asks for 127.0.0.1; and one whose own name has been rebound to
    there, so that to the browser it is its own server. They read nothing and have nothing drawn,
    also where the browser itself does not keep pages out of the local network."""
    program = _find_chromium() or _missing("Chromium is not installed")
    picture = f"results/{drawn(sandbox)}.png"
    assert WEB.get(f"{sandbox.url}/{picture}").status_code == 200
    far, rebound = "http://evil.example", f"http://evil.example:{urlsplit(sandbox.url).port}"
    flags = [flag for flag in CHROMIUM_FLAGS if "host-resolver-rules" not in flag]
    flags += ["--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"]
    flags += [
        "--host-resolver-rules=MAP evil.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    ]
    pages = {far: sandbox.url, rebound: rebound}
    told = subprocess.run(
        [sys.executable, "-c", BROWSER],
        input=json.dumps([program, flags, TRIES.replace("PICTURE", picture), pages]),
        capture_output=True,
        text=True,
        timeout=2 * LONG,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    seen = json.loads(told.stdout)
    assert seen[far] == {"read": None, "submit": None, "blind": [0, ""], "picture": None}
    refused = [421, WEB.get(sandbox.url, headers={"Host": "evil.example"}).text]
    assert seen[rebound] == dict.fromkeys(("read", "submit", "blind"), refused) | {"picture": None}
    assert [task.prompt for task in sandbox.tasks] == ["a fox"]
    assert sandbox.counts["submit"] == 1


@pytest.mark.parametrize(
    "host",
    ["fox.trycloudflare.com", "127.0.0.1:9000", "receiver_upstream", "evil.com", "a, b", ""],
)
def test_s2_the_receiver_is_guarded_by_its_token_and_not_by_a_name(
    home: Home,  # noqa: F811
    receiver: Receiver,  # noqa: F811
    host: str,
) -> None:
    """Tunnels and proxies put in Host what they like: the public name, the address that they
    forward to, a name out of their configuration. Who knows the token is heard under each of them;
    who does not gets the same 404, from a rebound name as from the public one, and no page of any
    origin is given a permission."""
    attempt = home.attempt()
    evil = {"Host": host, "Origin": "https://evil.com"}
    wrong = receiver.ask("POST", f"/{attempt}-{'0' * 64}", callback("task_0"), **evil)
    right = receiver.ask("POST", f"/{home.token(attempt)}", callback("task_1"), **evil)
    asked = receiver.ask("OPTIONS", f"/{home.token(attempt)}", **evil)
    assert [one.status for one in (wrong, right, asked)] == [404, 200, 405]
    for one in (wrong, right, asked):
        assert not [name for name in one.headers if name.startswith("access-control")]
    assert home.noted() == [(attempt, "task_1")]


# -- S3 and S4: keys


@pytest.fixture
def keyed() -> Iterator[Sandbox]:
    with Sandbox(latency=0, api_key=CANARY) as running:
        yield running


def reachable(root: object) -> Iterator[str]:
    """All text that a value leads to, except by way of modules, classes and what runs now."""
    seen: set[int] = set()
    ahead = [root]
    while ahead:
        one = ahead.pop()
        if id(one) in seen or isinstance(one, type | ModuleType | FrameType | logging.Logger):
            continue
        seen.add(id(one))
        if isinstance(one, str):
            yield one
        elif isinstance(one, bytes | bytearray):
            yield bytes(one).decode("latin-1")
        elif isinstance(one, FunctionType):
            ahead += [one.__closure__, one.__defaults__, one.__kwdefaults__]
        else:
            ahead += gc.get_referents(one)


def test_s3_a_sandbox_with_a_key_wants_that_one(keyed: Sandbox) -> None:
    """Whole, in a bearer header and nowhere else, on every route of the API."""
    wrong = ["", CANARY, f"bearer{CANARY}", f"Basic {CANARY}", f"Bearer {CANARY[:-1]}"]
    wrong += [f"Bearer {CANARY}x", f"Bearer {CANARY.upper()}", f"Bearer {CANARY} x", "Bearer"]
    for path, method in ((SUBMIT, "POST"), (f"{STATUS}?taskId=a", "GET"), (BALANCE, "GET")):
        for value in wrong:
            answer = WEB.request(method, keyed.url + path, headers={"Authorization": value})
            assert answer.status_code == 401, (path, value)
        elsewhere = f"{keyed.url}{path.partition('?')[0]}?api_key={CANARY}&key={CANARY}"
        assert WEB.request(method, elsewhere, headers={"X-API-Key": CANARY}).status_code == 401
    assert (keyed.tasks, keyed.spent) == ((), 0)


@pytest.mark.parametrize("own_key", [False, True])
def test_s4_a_real_key_leaves_no_trace_in_the_sandbox(
    own_key: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever points a client with a real key at it: the sandbox tells the key to nobody, neither
    the hosts of references and callbacks nor a log, and has forgotten it once it has answered. Not
    even one of its own is kept, only enough to know it again."""
    caplog.set_level(logging.DEBUG)
    key = CANARY if own_key else None
    with Sandbox(latency=0, api_key=key) as sandbox, Told(lambda: 0.0) as told:
        headers = {"Authorization": f"Bearer {CANARY}", "Connection": "close"}
        drawn_from = {"mode": "image-to-image", "image_urls": [sandbox.share(red_square(tmp_path))]}
        body = callback_body(told.url, "remembered", **drawn_from)
        prompts = ("a fox", "[sandbox 500] a fox", "[sandbox nonsense] a fox")
        bodies = [body, {}, *({"input": {"prompt": prompt}} for prompt in prompts)]
        answers = [WEB.post(sandbox.url + SUBMIT, json=one, headers=headers) for one in bodies]
        answers += [WEB.post(sandbox.url + SUBMIT, content=b"[" * 9, headers=headers)]
        assert [one.status_code for one in answers] == [200, 400, 200, 500, 400, 400]
        task_id = answers[0].json()["data"]["taskId"]
        reads = [f"{STATUS}?taskId={task_id}", f"{STATUS}?taskId=none", BALANCE, "/nowhere"]
        reads += ["/", "/openapi.json", "/sandbox/account", f"/results/{task_id}.png"]
        reads += [f"/sandbox/previews/{task_id}", f"/sandbox/pictures/{task_id}"]
        answers += [WEB.get(sandbox.url + path) for path in reads]
        answers += [WEB.get(sandbox.url + path, headers=headers) for path in reads]
        until(lambda: sandbox.deliveries)
        (post,) = told.posts
        heard = [str(post), *(f"{answer.headers}{answer.text}" for answer in answers)]
        shown = repr((sandbox.tasks, sandbox.deliveries, sandbox.faulted, sandbox.counts))
        kept = list(reachable(sandbox))
    assert any("remembered" in one for one in kept)
    assert any("remembered" in one for one in heard)
    for one in (*heard, *kept, shown, caplog.text):
        assert CANARY not in one
    assert "remembered" in shown


@pytest.mark.skipif(os.name == "nt", reason="the process would not end in order")
def test_s4_nor_where_the_sandbox_is_a_process_of_its_own(tmp_path: Path) -> None:
    """Neither on its screen nor in a file; its environment holds the key, as a shell's does."""
    home = tmp_path / "home"  # noqa: F811
    nanobanana = Command(home, "http://127.0.0.1:9", APIXO_API_KEY=CANARY)
    with serving(nanobanana, "sandbox") as (running, told):
        answer = WEB.post(
            told["url"] + SUBMIT,
            json={"input": {"prompt": "a fox"}},
            headers={"Authorization": f"Bearer {CANARY}"},
        )
        assert answer.status_code == 200
        assert len(account_of(told["url"])["tasks"]) == 1
        running.terminate()
        assert running.stdout is not None
        assert running.stderr is not None
        assert CANARY not in json.dumps(told) + running.stdout.read() + running.stderr.read()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


# -- S5: floods


def test_s5_a_flood_leaves_the_receiver_as_it_was(
    home: Home,  # noqa: F811
    receiver: Receiver,  # noqa: F811
) -> None:
    """A thousand requests of strangers and a thousand lies of somebody who knows an address: none
    is kept beyond the first few, in the file as in memory, and the true one still comes through."""
    psutil = pytest.importorskip("psutil")
    process = psutil.Process(receiver.process.pid)
    token, body = home.token(home.attempt()), callback("task")

    def flood(many: int, name: str) -> None:
        for number in range(many):
            lie = callback(f"{name}_{number}")
            length = f"Content-Length: {len(lie)}"
            written = head(f"/{token}", "Host: a", length, method="POST") + lie
            assert status_of(receiver.raw(written)) == 200
            assert receiver.ask("POST", f"/{name}_{number}", body).status == 404

    flood(300, "before")
    before, files = process.memory_info().rss, process.num_fds()
    flood(1000, "after")
    assert process.memory_info().rss - before < 8 << 20
    until(lambda: process.num_fds() <= files)  # the last connections may still be closing
    assert len(home.noted()) == 8
    attempt = home.attempt()
    assert receiver.call(home.token(attempt), callback("task_true")).status == 200
    assert home.noted()[-1] == (attempt, "task_true")


# -- S6: what a callback may claim


def test_s6_a_forged_success_changes_no_picture(tmp_path: Path) -> None:
    """Somebody who knows the address of a running task, and its id, says that it has succeeded, and
    where; and then that it has failed. Both are answered 200, the API is asked, the picture is the
    API's, and nobody ever connects to the link."""
    pytest.importorskip("uvicorn")
    with Sandbox(latency=1) as sandbox, socket.create_server(("127.0.0.1", 0)) as theirs:
        told: Queue[str] = Queue()
        settings = settings_for(sandbox.url, tmp_path / "home")
        serve = functools.partial(webhook.serve, settings, port=0, ready=told.put)
        threading.Thread(target=serve, daemon=True).start()
        studio = in_callback_mode(
            sandbox.url, tmp_path / "home", callback_url=told.get(timeout=LONG)
        )
        job = start(studio, "a fox")
        until(lambda: sandbox.tasks)
        (task,) = sandbox.tasks
        link = f"http://127.0.0.1:{theirs.getsockname()[1]}/evil.png"
        lie = {"resultJson": json.dumps({"resultUrls": [link]}), "resultUrls": [link], "url": link}
        for forged in (
            callback(task.id, **lie),
            callback(task.id, state="failed", failCode="TIMEOUT", failMsg=link),
            callback("another", **lie),
        ):
            assert WEB.post(task.callback_url or "", content=forged).status_code == 200
        fox = job.future.result(LONG)
        studio.close()
        assert fox.image.url.startswith(sandbox.url)
        assert fox.task_id == task.id
        assert select.select([theirs], [], [], 0)[0] == []


# -- S9: paths

UPWARDS = (
    "../SECRET", "..%2fSECRET", "%2e%2e/SECRET", "%2e%2e%2fSECRET", "%252e%252e%252fSECRET",
    "..%252fSECRET", "..\\SECRET", "..%5cSECRET", "%2e%2e%5cSECRET", "..%c0%afSECRET",
    "%c0%ae%c0%ae/SECRET", "....//SECRET", "..;/SECRET", "../" * 12 + "etc/passwd",
    "..%2f" * 12 + "etc%2fpasswd", "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd",
    "file:///etc/passwd", "C:\\Windows\\win.ini", "\\\\localhost\\share", "SECRET", "FOLDER/SECRET",
    "FOLDER%2fSECRET", "SECRET%00.png", "%00SECRET", "SECRET%0a", "SECRET?/../..", ".", "..", "",
    "~",
)  # fmt: skip
"""What is tried behind a route, so that it leads to a file beside the shared one."""


def test_s9_no_route_leads_to_a_file_that_was_not_shared(
    sandbox: Sandbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Pictures and references are found by their whole name, never by a path made of it: upwards,
    absolute, encoded once or twice, with a backslash or NUL, it is a 404."""
    (tmp_path / "shared").mkdir()
    red_square(tmp_path, "secret.png")
    red_square(tmp_path / "shared", "secret.png")
    link = sandbox.share(red_square(tmp_path / "shared"))
    task_id = drawn(sandbox)
    working = [link, f"{sandbox.url}/results/{task_id}.png"]
    working += [f"{sandbox.url}/sandbox/{size}/{task_id}" for size in ("previews", "pictures")]
    assert [raw_get(sandbox, one) for one in working] == [200] * 4
    folders = [one.rpartition("/")[0] for one in working]
    for base, upwards in itertools.product([*folders, *working], UPWARDS):
        names = {"SECRET": "secret.png", "FOLDER": str(tmp_path)}
        for name, value in names.items():
            upwards = upwards.replace(name, value)
        for wrong in (
            f"{base}/{upwards}",
            base.replace(sandbox.url, f"{sandbox.url}/..") + upwards,
        ):
            assert raw_get(sandbox, wrong) == 404, wrong
    assert capfd.readouterr() == ("", "")


def test_s9_a_link_in_place_of_a_shared_file_is_not_followed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """What was shared is that file, also where it was named by a symbolic link. One that is put in
    its place later, or in place of a folder above it, leads nowhere."""
    folder = tmp_path / "shared"
    folder.mkdir()
    mine, theirs = red_square(folder), red_square(tmp_path, "theirs.png")
    named = tmp_path / "named.png"
    try:
        named.symlink_to(mine)
    except OSError:
        pytest.skip("no symbolic links here")
    link, by_name = sandbox.share(mine), sandbox.share(named)
    assert WEB.get(link).content == WEB.get(by_name).content == mine.read_bytes()
    named.unlink()
    named.symlink_to(theirs)
    assert WEB.get(by_name).content == mine.read_bytes()
    mine.unlink()
    mine.symlink_to(theirs)
    assert WEB.get(link).status_code == WEB.get(by_name).status_code == 404
    mine.unlink()
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    red_square(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert WEB.get(link).status_code == 404


def test_s9_the_receiver_makes_no_path_of_its_own(
    home: Home,  # noqa: F811
    receiver: Receiver,  # noqa: F811
) -> None:
    """It compares the last part of one, and that is all."""
    for upwards in UPWARDS:
        path = f"/{upwards}".encode("latin-1", "replace")
        answer = receiver.raw(b"POST " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert status_of(answer) in (400, 404), upwards
        assert b"root:" not in answer
    assert home.noted() == []
