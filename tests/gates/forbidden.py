"""What no line of the package may do, found in its syntax tree.

A module that is forbidden may not be imported under any name, and a word that is forbidden may not
stand in the code at all: not as a name, an attribute or a parameter, not in an import, and not in
quotes, where `getattr` or `import_module` would find it. So there is no alias to follow, and no
comment that silences it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

MODULES: Final = {
    "pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle",
    "yaml", "ruamel", "builtins", "code", "codeop", "runpy", "pty", "pdb", "imp", "ctypes",
    "smtplib", "ftplib", "xmlrpc",
    "dotenv", "environs", "decouple", "dynaconf",
    "sentry_sdk", "posthog", "mixpanel", "opentelemetry", "statsd", "bugsnag", "rollbar", "scarf",
}  # fmt: skip
"""What makes objects or code of data, speaks to others by ways that nobody looks at here, reads
settings out of the folder that one happens to be in, or reports home."""
KEYS: Final = {"code"}
"""Modules that have the name of a key of the API: in quotes they are meant where they are imported.
"""
WORDS: Final = {
    "eval", "exec", "compile", "execfile", "__builtins__", "__import__", "run_cell", "run_code",
    "system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell",
    "execl", "execle", "execlp", "execlpe", "execv", "execve", "execvp", "execvpe",
    "spawnl", "spawnle", "spawnlp", "spawnlpe", "spawnv", "spawnve", "spawnvp", "spawnvpe",
    "posix_spawn", "posix_spawnp",
    "CERT_NONE", "CERT_OPTIONAL", "check_hostname", "verify_mode", "_create_unverified_context",
    "_create_default_https_context", "_create_stdlib_context", "disable_warnings",
    "read_pickle", "to_pickle", "allow_pickle", "load_dotenv",
}  # fmt: skip
"""What runs text as code or as a shell's, trusts any server, or does one of the above."""
HARMLESS: Final = {("re", "compile"), ("platform", "system")}
"""What has the name of something else."""
SHELLS: Final = {"False", "None", "shell"}
"""What may be given to a parameter of that name; the last is IPython's."""
URL: Final = re.compile(r"(?:https?|wss?|ftp)://(?:[^/\s\"']*@)?([\w.-]*\w)")
HOSTS: Final = {
    "api.apixo.ai": "the API",
    "apixo.ai": "where a key is had",
    "127.0.0.1": "this machine",
    "www.w3.org": "the name of SVG",
    "ns.adobe.com": "the name of XMP",
    "example.com": "an example",
    "NAME.trycloudflare.com": "an example",
    "attacker.example": "what the sandbox's forged callback names",
}
"""Whom the package may name; it calls the first, and the last three are never called."""


def violations(source: str) -> list[str]:
    """What a module does that none may, in the order of its lines."""
    found = {
        (getattr(node, "lineno", 0), what)
        for node in ast.walk(ast.parse(source))
        for what in (*_modules(node), *_words(node), *_settings(node), *_texts(node))
    }
    return [f"line {line}: {what}" for line, what in sorted(found)]


def strangers(text: str) -> set[str]:
    """The hosts of addresses in a text that are none of the documented ones."""
    return set(URL.findall(text)) - set(HOSTS)


def _modules(node: ast.AST) -> Iterator[str]:
    imported: list[str] = []
    if isinstance(node, ast.Import):
        imported = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        imported = [str(node.module)]
    elif isinstance(node, ast.Call) and _last(node.func) == "import_module":
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        imported = [_last(name) for name in given if _last(name) in KEYS]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        imported = [node.value] if node.value not in KEYS else []
    for name in imported:
        if name.partition(".")[0] in MODULES:
            yield name


def _words(node: ast.AST) -> Iterator[str]:
    said: list[str] = []
    if isinstance(node, ast.Name):
        said = [node.id]
    elif isinstance(node, ast.Attribute):
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        said = [] if (owner, node.attr) in HARMLESS else [node.attr]
    elif isinstance(node, ast.keyword | ast.arg):
        said = [str(node.arg)]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        said = [node.value.rpartition(".")[2]]
    elif isinstance(node, ast.ImportFrom):
        own = {(node.module, alias.name) for alias in node.names} & HARMLESS
        said = [alias.name for alias in node.names if (node.module, alias.name) not in own]
        said += ["exec"] if "*" in said and not node.level else []  # that may be anything
    yield from (word for word in said if word in WORDS)


def _settings(node: ast.AST) -> Iterator[str]:
    """`shell` that is true, `verify` that is neither true nor a name, however they are given."""
    for name, value in _given(node):
        said = value.value if isinstance(value, ast.Constant) else ...
        if name == "verify" and said is not True and not isinstance(value, ast.Name):
            yield f"verify={ast.unparse(value)}"
        if name == "shell" and said is not ... and said:
            yield f"shell={ast.unparse(value)}"
        if name == "shell" and isinstance(node, ast.keyword) and _last(value) not in SHELLS:
            yield f"shell={ast.unparse(value)}"


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.keyword):
        yield str(node.arg), node.value
    elif isinstance(node, ast.Assign):
        yield from ((_last(target), node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
        yield _last(node.target), node.value
    elif isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        yield from ((_last(key), value) for key, value in pairs if key is not None)
    elif isinstance(node, ast.Call) and len(node.args) == 3:  # setattr
        yield _last(node.args[1]), node.args[2]
    elif isinstance(node, ast.arguments):
        places = [*node.posonlyargs, *node.args][-len(node.defaults) :] if node.defaults else []
        for place, default in zip(
            (*places, *node.kwonlyargs), (*node.defaults, *node.kw_defaults), strict=True
        ):
            if default is not None:
                yield place.arg, default


def _last(node: ast.expr) -> str:
    """The last part of what an expression says: a name, an attribute, a key, a constant."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=key):
            return _last(key)
        case ast.Constant(value=value):
            return str(value)
        case ast.Await(value=inner):
            return _last(inner)
    return ""


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from (f"names {host}" for host in sorted(strangers(node.value)))
        if re.search(r"(?:^|[/\\])\.env(?:\.\w+)?$", node.value):
            yield "names a .env file"
