"""The package's code: nothing that runs text, trusts any server, or calls anybody but the API."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from .forbidden import HOSTS, strangers, violations

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "nanobanana_nb"
RUNTIME = {"httpx", "ipython", "ipywidgets", "pillow", "platformdirs", "sniffio"}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_the_code_does_nothing_that_is_forbidden(path: Path) -> None:
    """Whatever comment stands beside it: if something here is really needed, the list is where to
    say so."""
    assert violations(path.read_text(encoding="utf-8")) == []


BAD = [
    "eval(x)",
    "exec(x)  # noqa: S102",
    "compile(x, '', 'exec')",
    "run = eval",
    "run = [exec][0]",
    "def f(run=eval): run(x)",
    "__builtins__['eval'](x)",
    "import builtins as b\nb.exec(x)",
    "from builtins import eval as harmless",
    "getattr(thing, 'eval')(x)",
    "globals()['exec'](x)",
    "frame.eval('a + b')",
    "shell.run_cell(prompt)",
    "import pickle",
    "import pickle as json\njson.loads(x)",
    "from pickle import loads",
    "def f():\n    if later:\n        import dill",
    "import_module('pickle').loads(x)",
    "importlib.import_module('cloudpickle.fast')",
    "__import__('marshal')",
    "from marshal import *",
    "import shelve",
    "import code\ncode.interact()",
    "from code import InteractiveInterpreter as Shell",
    "import_module('code').interact()",
    "importlib.import_module(name='code')",
    "import ctypes",
    "import imp",
    "import pdb as debugger",
    "import smtplib",
    "from ftplib import FTP",
    "import xmlrpc.client",
    "os.execvp(x, y)",
    "os.spawnlp(0, 'sh', 'sh', '-c', x)",
    "from os import posix_spawn as run",
    "import pandas\npandas.read_pickle(x)",
    "import numpy as np\nnp.load(x, allow_pickle=True)",
    "import yaml\nyaml.load(x)",
    "from ruamel import yaml",
    "import os\nos.system(x)",
    "import os as o\no.popen(x)",
    "from os import system as s\ns(x)",
    "from os import *",
    "run = os.system",
    "getattr(os, 'system')(x)",
    "subprocess.run(x, shell=True)",
    "subprocess.run(x, shell=1)",
    "subprocess.Popen(x, shell=asked)",
    "subprocess.run(x, **{'shell': True})",
    "shell = True\nsubprocess.run(x, shell=shell)",
    "options['shell'] = True",
    "def f(shell=True): subprocess.run(x, shell=shell)",
    "subprocess.getoutput(x)",
    "asyncio.create_subprocess_shell(x)",
    "httpx.get(x, verify=False)",
    "httpx.get(x, verify=None)",
    "httpx.get(x, verify=not asked)",
    "httpx.get(x, verify=bool(0))",
    "options['verify'] = trusted or False",
    "httpx.get(x, **{'verify': False})",
    "options['verify'] = False",
    "verify: bool = False\nhttpx.Client(verify=verify)",
    "def f(*, verify=False): httpx.Client(verify=verify)",
    "client.verify = 0",
    "setattr(client, 'verify', False)",
    "context.check_hostname = False",
    "setattr(context, 'check_hostname', False)",
    "context.verify_mode = ssl.CERT_NONE",
    "from ssl import CERT_NONE as full",
    "ssl._create_unverified_context()",
    "ssl._create_default_https_context = x",
    "urllib3.disable_warnings()",
    "from dotenv import load_dotenv\nload_dotenv()",
    "open('.env')",
    "Path.cwd() / '.env'",
    "open('/home/me/.env.local')",
    "import sentry_sdk",
    "httpx.post('https://telemetry.example.org/v1', json=x)",
    "URL = 'https://updates.example.org/nanobanana-nb.json'",
    "f'https://stats.{x}.com/'",
    "'http://user:word@evil.com/'",
    "'https://api.apixo.ai.evil.com/'",
    "'https://api.apixo.ai@evil.com/'",
]


@pytest.mark.parametrize("source", BAD)
def test_the_gate_sees_it(source: str) -> None:
    """In every spelling; a gate that sees nothing passes as well."""
    assert violations(source)
    assert violations(f"class A:\n    async def f(self):\n        {_indented(source)}")


def _indented(source: str) -> str:
    return source.replace("\n", "\n        ")


GOOD = [
    "re.compile('a')",
    "platform.system()",
    "from platform import system",
    "httpx.get(x, verify=True)",
    "httpx.get(x, verify=context)",
    "answer['code']",
    "import_module('nanobanana_nb.code')",
    "subprocess.run([x], shell=False)",
    "super().__init__(shell=shell)",
    "shell = get_ipython()",
    "evaluate(x)",
    "'a prompt about exec and os.systems'",
    "os.environ['APIXO_API_KEY']",
    "'https://api.apixo.ai/api/v1'",
    "f'http://{host}:{port}'",
    "from .system import anything",
]


@pytest.mark.parametrize("source", GOOD)
def test_the_gate_lets_pass_what_is_harmless(source: str) -> None:
    """What is refused without reason is soon not looked at any more."""
    assert violations(source) == []


def test_no_file_of_the_package_names_a_stranger() -> None:
    """Scripts, styles and tables too: no telemetry, no update check, nothing from a CDN; and every
    host of the list is still there for its reason."""
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert {name: found for name, text in texts.items() if (found := strangers(text))} == {}
    assert [host for host in HOSTS if not any(host in text for text in texts.values())] == []


def test_no_script_of_the_package_runs_text() -> None:
    """What a page gets from the kernel is never code or markup."""
    words = re.compile(r"\beval\b|new Function|innerHTML|outerHTML\s*=|insertAdjacent|\.write\(")
    scripts = sorted(PACKAGE.rglob("*.js"))
    assert scripts
    for path in scripts:
        assert not words.search(path.read_text(encoding="utf-8")), path.name


def test_the_core_needs_six_packages() -> None:
    """Each further one is somebody else's code in a kernel that holds a key; a lower bound says
    what it was tested with."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {re.split(r"[^\w-]", text)[0].lower(): text for text in project["dependencies"]}
    assert set(named) == RUNTIME
    assert len(named) <= 6
    assert all(">=" in text for text in named.values())
