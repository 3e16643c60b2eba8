"""Where the key comes from: every source alone and in its order, and what each says that has none.

The real `keyring` with drawers of the test's own, and kernels with Colab's page in front of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keyring
import pytest
from keyring import errors as keyring_errors
from keyring.backend import KeyringBackend
from keyring.backends import fail, null

from nanobanana_nb import ConfigError, Settings, keys, sync
from nanobanana_nb.keys import KEY_NAME, KEYRING_SERVICE, Secret
from nanobanana_nb.settings import BASE_URL

from .harness.colab import LOCKED, ColabKernel
from .harness.environment import child_environment
from .harness.kernels import Kernel, Reply
from .test_cli import Command

CANARY = "sk-canary-4711-0815"
NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there."""


class Drawer(KeyringBackend):
    """A keyring that gives what it was made with, or raises it, and counts."""

    priority = 1  # type: ignore[assignment]

    def __init__(self, content: str | Exception | None) -> None:
        super().__init__()
        self._content = content
        self.asked: list[tuple[str, str]] = []

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.append((service, username))
        if isinstance(self._content, Exception):
            raise self._content
        return self._content

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


class Dialogue(Drawer):
    """A keyring whose dialogue to be unlocked nobody answers."""

    def __init__(self) -> None:
        super().__init__(None)
        self.over = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        super().get_password(service, username)
        self.over.wait(5)
        return None


@pytest.fixture(autouse=True)
def no_keyring() -> Iterator[None]:
    """Each test begins without a keyring, as on a server; never with a developer's own."""
    keyring.set_keyring(null.Keyring())
    yield
    keyring.set_keyring(null.Keyring())


def with_keyring(content: str | Exception | None) -> Drawer:
    drawer = Drawer(content)
    keyring.set_keyring(drawer)
    return drawer


def remarks(settings: Settings) -> list[str]:
    return [str(remark) for remark in settings.found.remarks]


# ------------------------------------------------------------------ K8: the sources, in order


def test_k8_an_argument_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is asked where a key was said."""
    monkeypatch.setenv(KEY_NAME, "from-the-environment")
    drawer = with_keyring("from-the-keyring")
    settings = Settings.load(api_key="said")
    assert (settings.api_key, settings.found.source) == (Secret("said"), "an argument")
    assert drawer.asked == []


def test_k8_the_environment_comes_before_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is fast and was set on purpose: the keyring is not even asked."""
    monkeypatch.setenv(KEY_NAME, "from-the-environment")
    drawer = with_keyring("from-the-keyring")
    settings = Settings.load()
    assert settings.api_key == Secret("from-the-environment")
    assert settings.found.source == "the environment"
    assert drawer.asked == []


def test_k8_the_keyring_alone() -> None:
    """Under the service and the name that the documentation says."""
    drawer = with_keyring(CANARY)
    settings = Settings.load()
    assert (settings.api_key, settings.found.source) == (Secret(CANARY), "the keyring")
    assert drawer.asked == [("nanobanana_nb", "APIXO_API_KEY")]
    assert remarks(settings) == []


def test_k8_no_source_at_all() -> None:
    """That is no error by itself: the sandbox can draw."""
    settings = Settings.load()
    assert (settings.api_key, settings.found.source, remarks(settings)) == (None, "", [])


def test_k8_a_key_that_the_user_stored_as_documented(tmp_path: Path) -> None:
    """`keyring set nanobanana_nb APIXO_API_KEY`, then a new process: found, and told by its place
    in `nanobanana doctor`, without the key."""
    (tmp_path / "drawer.py").write_text(
        "import json, pathlib\n"
        "from keyring.backend import KeyringBackend\n"
        "FILE = pathlib.Path(__file__).with_name('drawer.json')\n"
        "class Keyring(KeyringBackend):\n"
        "    priority = 1\n"
        "    def _all(self):\n"
        "        return json.loads(FILE.read_text()) if FILE.exists() else {}\n"
        "    def get_password(self, service, username):\n"
        "        return self._all().get(f'{service}/{username}')\n"
        "    def set_password(self, service, username, password):\n"
        "        FILE.write_text(json.dumps({**self._all(), f'{service}/{username}': password}))\n"
    )
    command = Command(
        tmp_path / "home", "", APIXO_API_KEY=None, APIXO_BASE_URL=None,
        PYTHON_KEYRING_BACKEND="drawer.Keyring", PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    told = command("doctor", "--offline")
    assert f"keyring set {KEYRING_SERVICE} {KEY_NAME}" in told.stdout
    subprocess.run(
        [sys.executable, "-m", "keyring", "set", "nanobanana_nb", "APIXO_API_KEY"],
        env=command.environment, input=f"{CANARY}\n".encode(), check=True, timeout=60,
    )  # fmt: skip
    assert list(json.loads((tmp_path / "drawer.json").read_text()).values()) == [CANARY]
    told = command("doctor", "--offline")
    assert "set, from the keyring" in told.stdout
    assert CANARY not in told.stdout + told.stderr


def test_k8_a_key_in_the_environment_loads_no_keyring() -> None:
    """Importing it takes longer than we do; who does not need it does not wait for it."""
    code = "import sys, nanobanana_nb as nb; nb.Settings.load(); print('keyring' in sys.modules)"
    env = child_environment(Path.cwd(), {KEY_NAME: CANARY})
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert done.stdout == b"False\n"


# ------------------------------------------------------------------ K10: keyrings that have none

_NO_PASSWORD_HERE = [
    None,
    keyring_errors.NoKeyringError("no backend"),
    keyring_errors.InitError("no session bus"),
    keyring_errors.KeyringError("-128"),
    RuntimeError("The Secret Service daemon is neither running nor activatable through D-Bus"),
    OSError("no such socket"),
]


@pytest.mark.parametrize("answer", _NO_PASSWORD_HERE, ids=repr)
def test_k10_a_keyring_without_our_key_is_passed_over(answer: Exception | None) -> None:
    """There is nothing that a person could do about it, so nothing is said."""
    with_keyring(answer)
    settings = Settings.load()
    assert (settings.api_key, remarks(settings)) == (None, [])


@pytest.mark.parametrize("backend", [fail.Keyring, null.Keyring])
def test_k10_a_machine_without_a_keyring(backend: type[KeyringBackend]) -> None:
    """The backends that stand for having none."""
    keyring.set_keyring(backend())
    assert (Settings.load().api_key, remarks(Settings.load())) == (None, [])


def test_k10_no_session_bus(tmp_path: Path) -> None:
    """keyring's own search for a backend on a server: nothing found, nothing said, no trace."""
    env = child_environment(tmp_path, {"PYTHON_KEYRING_BACKEND": None, "HOME": str(tmp_path)})
    env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={tmp_path}/no-bus"
    code = (
        "import nanobanana_nb as nb, sys; s = nb.Settings.load()\n"
        "print('keyring' in sys.modules, s.api_key, s.found)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert done.stdout.decode() == "True None Found(key=None, source='', remarks=())\n"
    assert done.stderr == b""


def test_k10_keyring_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    settings = Settings.load()
    assert (settings.api_key, remarks(settings)) == (None, [])


def test_k10_a_locked_keyring_is_one_line() -> None:
    """A person can do something about that; but each question would open its dialogue anew, so it
    is asked once."""
    drawer = with_keyring(keyring_errors.KeyringLocked("dismissed"))
    settings = Settings.load()
    for _ in range(3):
        settings = settings.loaded_again()
    [told] = remarks(settings)
    assert "keyring is locked" in told
    assert KEY_NAME in told
    assert "\n" not in told
    assert len(drawer.asked) == 1


def test_k10_a_slow_keyring_without_our_key_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key every cell looks for one: it must not be kept waiting by each."""
    monkeypatch.setattr(keys, "NOTICED", 0.0)
    drawer = with_keyring(None)
    settings = Settings.load()
    for _ in range(3):
        settings = settings.loaded_again()
    [told] = remarks(settings)
    assert "has no APIXO_API_KEY" in told
    assert len(drawer.asked) == 1


def test_k10_loading_the_extension_opens_no_dialogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing left behind by an earlier kernel there is no use for a key yet."""
    monkeypatch.setattr(sync, "_default", None)
    drawer = with_keyring(None)
    sync.recover()
    assert drawer.asked == []


def test_k10_a_dialogue_that_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for without end, and not asked again; the line says what to do."""
    monkeypatch.setattr(keys, "PATIENCE", 0.1)
    dialogue = Dialogue()
    keyring.set_keyring(dialogue)
    try:
        settings = Settings.load()
        for _ in range(3):
            settings = settings.loaded_again()
        [told] = remarks(settings)
        assert "did not answer" in told
        assert KEY_NAME in told
        assert len(dialogue.asked) == 1
    finally:
        dialogue.over.set()


def test_k10_what_a_keyring_said_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In a script it stands in the error, in a notebook in the sandbox's notice (below)."""
    with_keyring(keyring_errors.KeyringLocked("dismissed"))
    with pytest.raises(ConfigError) as caught:
        sync_studio_opened(monkeypatch)
    assert str(caught.value).startswith("There is no API key. Set the environment variable")
    assert str(caught.value).count("keyring is locked") == 1
    told = Command(tmp_path, "", APIXO_API_KEY=None, APIXO_BASE_URL=None)
    assert "There is no API key" in told("generate", "a fox").stderr


def sync_studio_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "_default", None)
    studio = sync.current_studio()
    try:
        studio.wait(studio.balance())
    finally:
        studio.close()


# ------------------------------------------------------------------ K11: no .env, and whose key


DOTENV = f"APIXO_BASE_URL=https://evil.example\n{KEY_NAME}=planted\nNANOBANANA_HOME=/evil\n"
SETTINGS = (
    "import nanobanana_nb as nb; s = nb.Settings.load()\n"
    "print(s.base_url, s.api_key, 'evil' in str(s.home))"
)


@pytest.fixture(scope="module")
def cloned(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel in a folder that a stranger has filled."""
    folder = tmp_path_factory.mktemp("cloned")
    (folder / ".env").write_text(DOTENV)
    with Kernel(python, cwd=folder) as kernel:
        yield kernel


def test_k11_a_dotenv_of_a_cloned_folder_is_not_read(cloned: Kernel, tmp_path: Path) -> None:
    """Neither in a kernel nor by a script: python-dotenv is installed, and a stranger's folder
    says where the key shall go."""
    expected = f"{BASE_URL} None False\n"
    assert cloned.run(f"%load_ext nanobanana_nb\n{SETTINGS}").text == expected
    pytest.importorskip("dotenv")
    (tmp_path / ".env").write_text(DOTENV)
    script = [sys.executable, "-c", SETTINGS]
    env = child_environment(tmp_path)
    done = subprocess.run(script, cwd=tmp_path, env=env, capture_output=True, check=True)
    assert done.stdout.decode() == expected


@pytest.mark.parametrize("url", ["https://proxy.example.com", NOWHERE, "https://api.apixo.ai:444"])
def test_k11_another_api_is_not_given_a_stored_key(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """By argument or by environment, on loopback too: it is not looked for, and a line says what
    to do. The environment's own key was said together with the address, and is used."""
    drawer = with_keyring(CANARY)
    assert Settings.load(base_url=url).api_key is None
    monkeypatch.setenv("APIXO_BASE_URL", url)
    settings = Settings.load()
    assert settings.api_key is None
    assert drawer.asked == []
    [told] = remarks(settings)
    assert url in told
    assert KEY_NAME in told
    monkeypatch.setenv(KEY_NAME, "said-with-it")
    assert Settings.load().api_key == Secret("said-with-it")
    assert Settings.load(api_key="said").api_key == Secret("said")


def test_k11_a_stored_key_does_not_move_to_another_api() -> None:
    """Nor by changing the settings that hold it."""
    with_keyring(CANARY)
    settings = Settings.load()
    with pytest.raises(ConfigError, match=r"is for https://api\.apixo\.ai only"):
        replace(settings, base_url=NOWHERE)
    given = replace(settings, base_url=NOWHERE, api_key=Secret("said"))
    assert given.found.source == "an argument"


def test_k11_the_sandbox_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NANOBANANA_SANDBOX=always nobody is asked for one."""
    monkeypatch.setenv("NANOBANANA_SANDBOX", "always")
    drawer = with_keyring(CANARY)
    assert (Settings.load().api_key, remarks(Settings.load()), drawer.asked) == (None, [], [])


# ------------------------------------------------------------------ K13: what is no key

NO_KEYS = {
    "line break": f"{CANARY}\n",
    "two lines": f"{CANARY}\nX-Evil: 1",
    "carriage return": f"{CANARY}\r",
    "blank": f" {CANARY}",
    "within": f"{CANARY[:9]} {CANARY[9:]}",
    "tab": f"{CANARY}\t",
    "quotes": f'"{CANARY}"',
    "single quotes": f"'{CANARY}'",
    "Bearer": f"Bearer {CANARY}",
    "not ASCII": f"{CANARY}é",
    "no-break space": f"{CANARY}\u00a0",
    "zero width": f"{CANARY}\u200b",
    "NUL": f"{CANARY}\0",
    "escape": f"\x1b[1m{CANARY}",
}


@pytest.mark.parametrize("name", NO_KEYS)
def test_k13_what_is_no_key_is_refused_without_echo(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """From every source, before anything is sent: an error where it was said, a remark where it
    was stored; both with a hint, neither with the key."""
    value = NO_KEYS[name]
    said = []
    with pytest.raises(ConfigError) as caught:
        Settings.load(api_key=value)
    said.append(str(caught.value))
    if "\0" not in value:
        monkeypatch.setenv(KEY_NAME, value)
        with pytest.raises(ConfigError) as caught:
            Settings.load()
        said.append(str(caught.value))
        monkeypatch.delenv(KEY_NAME)
    with_keyring(value)
    settings = Settings.load()
    assert settings.api_key is None
    said += remarks(settings)
    assert len(said) >= 2
    for text in said:
        assert "without quotes or 'Bearer'" in text
        assert CANARY[:9] not in text
        assert "\n" not in text


# ------------------------------------------------------------------ nb.login()


def test_k16_login_asks_in_the_kernel_and_keeps_the_key_there(cloned: Kernel) -> None:
    """By a prompt of the front end that hides what is typed; then it is nowhere but in the
    settings. What is no key is refused without echo, and asked for again."""
    cloned.run(f"import os, nanobanana_nb as nb; os.environ['APIXO_BASE_URL'] = {NOWHERE!r}")
    cloned.answers += [f"Bearer {CANARY}", CANARY]
    refused = cloned.run("nb.login()", allow_stdin=True)
    assert refused.ename == "ConfigError"
    assert "without quotes or 'Bearer'" in refused.traceback
    kept = cloned.run("nb.login()", allow_stdin=True)
    assert kept.status == "ok", kept.traceback
    assert "kept for this kernel" in json.dumps(kept.displays)
    shown = json.dumps([refused.displays, refused.traceback, kept.displays, kept.text])
    assert CANARY not in shown
    where = "from nanobanana_nb.sync import current_studio; s = current_studio().settings\n"
    length = cloned.run(f"{where}print(s.found.source, len(s.api_key.reveal()))").text
    assert length == f"an argument {len(CANARY)}\n"
    assert CANARY not in cloned.run("print(_ih, Out, globals())").text
    assert CANARY not in cloned.log


def test_k8_login_where_nobody_can_type(cloned: Kernel) -> None:
    """nbconvert and papermill allow no stdin: one line that says what to do instead."""
    refused = cloned.run("import nanobanana_nb as nb; nb.login()", allow_stdin=False)
    assert refused.ename == "ConfigError"
    assert "nobody can answer" in refused.evalue
    assert KEY_NAME in refused.evalue
    assert len(refused.traceback.strip().splitlines()) == 1


def test_k8_login_in_a_script_whose_input_is_at_its_end(tmp_path: Path) -> None:
    """The same line where there is neither terminal nor pipe with something in it."""
    code = "import nanobanana_nb as nb; nb.login()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=child_environment(tmp_path), capture_output=True,
        stdin=subprocess.DEVNULL, start_new_session=True, check=False, timeout=60,
    )  # fmt: skip
    assert b"ConfigError: nb.login() asks for the key, and here nobody can answer" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals are not for Windows")
def test_k16_login_in_a_terminal_does_not_echo(tmp_path: Path) -> None:
    """What is typed does not appear on the screen."""
    pexpect = pytest.importorskip("pexpect")
    code = (
        "import nanobanana_nb as nb; nb.login()\n"
        "from nanobanana_nb.sync import current_studio\n"
        "print(len(current_studio().settings.api_key.reveal()), 'letters')"
    )
    env = child_environment(tmp_path, {"APIXO_BASE_URL": NOWHERE})
    process = pexpect.spawn(sys.executable, ["-c", code], env=env, encoding="utf-8", timeout=30)
    process.expect("APIXO API key: ")
    process.waitnoecho()
    process.sendline(CANARY)
    process.expect(pexpect.EOF)
    assert f"{len(CANARY)} letters" in process.before
    assert CANARY not in process.before
    process.close()


# ------------------------------------------------------------------ K8, K9: Colab's Secrets

LOOK = (
    "s = nb.Settings.load()\n"
    "print(s.found.source or 'nowhere', s.api_key and len(s.api_key.reveal()))\n"
    "print(*s.found.remarks, sep='\\n')"
)
NOTICE = "from nanobanana_nb import sync\nprint(sync.current_studio().sandbox_notice)"


@pytest.fixture(scope="module")
def colab(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ColabKernel]:
    """Colab's kernel and page. Should a key be used by mistake, its way leads nowhere."""
    env = {"COLAB_SECONDS": "0.3", "HTTPS_PROXY": NOWHERE, "ALL_PROXY": NOWHERE}
    with ColabKernel(python, tmp_path_factory.mktemp("colab"), env) as kernel:
        kernel.run("import nanobanana_nb as nb, threading")
        yield kernel


@pytest.fixture
def page(colab: ColabKernel) -> ColabKernel:
    """The same with an empty page: no secrets, nothing asked, no studio."""
    colab.secrets, colab.attached = {}, True
    colab.run(
        "from nanobanana_nb import sync\n"
        "sync._default, sync._used, sync._told = None, False, ''\n"
        f"import os; os.environ.pop({KEY_NAME!r}, None)"
    )
    colab.asked.clear()
    return colab


def told(reply: Reply) -> list[str]:
    assert reply.status == "ok", reply.traceback
    return reply.text.splitlines()


def test_k8_colab_secrets_alone(page: ColabKernel) -> None:
    """The Secret of the same name is the key; the page is asked once for it."""
    page.secrets = {KEY_NAME: CANARY}
    assert told(page.run(LOOK)) == [f"Colab Secrets {len(CANARY)}", ""]
    assert page.asked == [KEY_NAME]


def test_k8_the_environment_comes_before_colab_secrets(page: ColabKernel) -> None:
    """The page, which asks a person, is then left in peace."""
    page.secrets = {KEY_NAME: CANARY}
    page.run(f"os.environ[{KEY_NAME!r}] = 'short'")
    assert told(page.run(LOOK)) == ["the environment 5", ""]
    assert page.asked == []


def test_k8_a_secret_that_is_no_key(page: ColabKernel) -> None:
    """One line, without the value; an empty one counts as none."""
    page.secrets = {KEY_NAME: f"{CANARY}\n"}
    reply = page.run(LOOK)
    assert told(reply)[0] == "nowhere None"
    assert told(reply)[1].startswith("What Colab Secrets kept as APIXO_API_KEY was not used.")
    assert CANARY not in reply.text
    page.secrets = {KEY_NAME: ""}
    assert told(page.run(LOOK)) == ["nowhere None", ""]


def test_k9_each_trouble_has_its_own_line(page: ColabKernel) -> None:
    """No such Secret, no access to it, no page: three lines that say what to do, in the sandbox's
    notice too."""
    lines = []
    for secrets, attached in (({}, True), ({KEY_NAME: LOCKED}, True), ({}, False)):
        page.secrets, page.attached = secrets, attached
        [_, line] = told(page.run(LOOK))
        lines.append(line)
        page.run("sync._default = None")
        assert told(page.run(NOTICE))[0].endswith(line)
    missing, locked, unanswered = lines
    assert "There is no Secret APIXO_API_KEY" in missing
    assert "no access" in locked
    assert "did not answer within 10 s" in unanswered
    assert all(KEY_NAME in line for line in lines)


def test_k9_what_was_put_right_counts_at_the_next_cell(page: ColabKernel) -> None:
    """No such Secret and no access are answered at once and mended by people: asked again."""
    notices = [told(page.run(NOTICE))[0]]
    page.secrets = {KEY_NAME: LOCKED}
    notices.append(told(page.run(NOTICE))[0])
    page.secrets = {KEY_NAME: CANARY}
    notices.append(told(page.run(NOTICE))[0])
    assert "no Secret" in notices[0]
    assert "no access" in notices[1]
    assert notices[2] == ""  # the key is there, and no sandbox draws


def test_k9_a_key_that_was_found_is_not_asked_for_again(page: ColabKernel) -> None:
    """Also before anything was drawn, when other settings are still read anew."""
    page.secrets = {KEY_NAME: CANARY}
    for _ in range(3):
        page.run("sync.current_studio()")
    in_thread = (
        "t = threading.Thread(target=lambda: print(sync.current_studio().settings.found.source))\n"
        "t.start(); t.join()"
    )
    assert told(page.run(in_thread)) == ["Colab Secrets"]
    assert page.asked == [KEY_NAME]


def test_k9_a_page_that_does_not_answer_is_waited_for_once(page: ColabKernel) -> None:
    """Every verb looks for a key while the sandbox draws: ten seconds for each cell would be a
    notebook that hangs. The notice is shown once."""
    page.attached = False
    replies = [page.run("%load_ext nanobanana_nb")]
    replies += [page.run("_ = nb.history()") for _ in range(3)]
    assert [reply.status for reply in replies] == ["ok"] * 4
    assert page.asked == [KEY_NAME]
    shown = [json.dumps(reply.displays) for reply in replies]
    assert [("did not answer within 10 s" in text) for text in shown] == [False, True, False, False]


def test_k9_another_thread_does_not_ask(page: ColabKernel) -> None:
    """The answer comes over a socket that only the main thread may read: there the line says so,
    and the next cell finds the key."""
    page.secrets = {KEY_NAME: CANARY}
    in_thread = (
        "said = []\n"
        "look = lambda: said.extend(map(str, sync.current_studio().settings.found.remarks))\n"
        "t = threading.Thread(target=look); t.start(); t.join()\n"
        "print(*said)"
    )
    assert "asked by a cell only" in told(page.run(in_thread))[0]
    assert page.asked == []
    assert told(page.run(NOTICE)) == [""]
    assert page.asked == [KEY_NAME]


def test_k9_another_api_is_not_given_colabs_key(page: ColabKernel) -> None:
    """As with the keyring."""
    page.secrets = {KEY_NAME: CANARY}
    look = LOOK.replace("load()", f"load(base_url={NOWHERE!r})")
    assert told(page.run(look))[0] == "nowhere None"
    assert "in Colab Secrets" in told(page.run(look))[1]
    assert page.asked == []


@pytest.mark.nightly
def test_k9_ten_seconds_and_no_more(python: Path, tmp_path: Path) -> None:
    """With Colab's own limit: the first cell takes no more than twelve, the others none of it."""
    with ColabKernel(python, tmp_path, attached=False) as kernel:
        first = kernel.run(f"import nanobanana_nb as nb\n{NOTICE}")
        second = kernel.run(NOTICE)
    assert 9.5 < first.seconds < 12
    assert second.seconds < 2
    assert told(first) == told(second)
