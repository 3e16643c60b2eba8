"""A request copied as a cell asks for the same when it runs: as a line, a cell, a call."""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import os
import random
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nanobanana_nb import RequestError, Sandbox, prompting, templates
from nanobanana_nb.copying import Draft, magic_cell, magic_line, python
from nanobanana_nb.models import ASPECT_RATIOS, ImageRequest
from nanobanana_nb.presets import Style, merged

from .conftest import drawing_at
from .test_prompts_arrive import prompts

LINE = "%nanobanana"
CELL = "%%nanobanana"
WAYS = {"line": magic_line, "cell": magic_cell, "call": python}
Asked = tuple[str, str, str, tuple[str, ...], int, Style | None]
STYLES = {
    style.name: style
    for style in (
        Style("ink", "in ink"),
        Style("poster", "as a poster", aspect_ratio="2:3", output_format="jpeg"),
        Style("水墨", "in ink", image_urls=("https://example.com/a.png",)),
    )
}

# What options, IPython, Python or an editor could take for something else.
PARTS = (
    *("fox", "owl", " ", "  ", "\n", "\n\n", "\t", "a", "x=1", "'", '"', '"""', "'''", "`", "\\"),
    *("{name}", "{{name}}", "{", "}", "{_x}", "$name", "${name}", "$5.50", "%", "%%", "%time", "!"),
    *("!ls", "?", "??", "-a 16:9", "--raw", "--", "-", "-z", "-n4", "--help", "-early", "--ar 3:4"),
    *(
        ">>> ",
        "... ",
        "In [1]: ",
        "%nanobanana",
        "%%nanobanana",
        "%%time",
        "# no comment",
        ";",
        "(",
    ),
    *(
        "[",
        ")",
        "🦊",
        "👩\u200d🎨",
        "\u00a0",
        "\u3000",
        "\u200b",
        "\ufeff",
        "é",
        "e\u0301",
        "狐",
        "？",
    ),
    *("\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\r", "\r\n", "\x1c", "\0", "\x7f", "\x1b[1m"),
    *("C:\\new\\table", "\\n", "\\u2028", "\\N{DASH}", "f'{name}'", "<b>", "&amp;", "w" * 90),
)
REFERENCES = (
    *("https://example.com/a.png?b=1&c=2", "fox.png", "my fox.png", "it's a fox.png", "-n.png"),
    *(
        'half"quoted.png',
        "'quoted'.png",
        "C:\\foxes\\",
        "fox",
        "last",
        "./a=b",
        "狐 1.png",
        "~/x.png",
    ),
    *("both\"kinds' of.png", "two\nlines.png", "a\u2028b.png", "{name}.png", "$HOME/x.png", "?"),
)


def nasty(seed: int) -> Draft:
    """A draft of what people might, and what nobody would, type."""
    pick = random.Random(seed)
    prompt = "".join(pick.choices(PARTS, k=pick.randint(1, 12)))
    references = pick.sample(REFERENCES, pick.choice((0, 0, 0, 1, 2)))
    return Draft(
        prompt if prompt.strip() else "fox",
        pick.choice(("", *ASPECT_RATIOS)),
        pick.choice(("png", "jpeg")),
        tuple(references),
        pick.choice((1, 1, 4)),
        pick.choice((None, None, *STYLES.values())),
    )


def asked(draft: Draft) -> Asked:
    """What the draft asks for; a file by its path, with or without ./ in front."""
    by_style = merged([draft.style] if draft.style else [])
    pictures = draft.references or by_style.get("image_urls")
    ratio = draft.aspect_ratio or by_style.get("aspect_ratio") or ("auto" if pictures else "1:1")
    format_ = draft.output_format or by_style.get("output_format") or "png"
    references = tuple(text.removeprefix("./") for text in draft.references)
    return draft.prompt.strip(), ratio, format_, references, draft.count, draft.style


def read_magic(line: prompting.Line) -> Asked:
    """What a magic would ask for; the prompt must be out of reach of variables."""
    options = dict(line.options)
    names = dict.fromkeys(("name", "fox", "owl", "a", "x", "n"), "REPLACED")
    raw = options.pop("raw", False)
    prompt = line.prompt if raw else str(templates.read(line.prompt, names))
    images = tuple(options.pop("image", ()))
    assert not any(image == "last" or image.isidentifier() for image in images)
    read = Draft(
        prompt,
        options.pop("aspect_ratio", ""),
        options.pop("format", ""),
        images,
        int(options.pop("count", "1")),
        STYLES.get(options.pop("style", "")),
    )
    assert options == {}
    return asked(read)


def read_call(code: str) -> Asked:
    """What the call would ask for, read without running it."""
    first, second = ast.parse(code).body
    assert ast.unparse(first) == "import nanobanana_nb as nb"
    assert isinstance(second, ast.Expr)
    call = second.value
    assert isinstance(call, ast.Call)
    assert ast.unparse(call.func) == "nb.generate"
    given: dict[str, Any] = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    given.setdefault("output_format", "")
    given["references"] = tuple(given.pop("image_urls", ()))
    given["style"] = STYLES.get(given.pop("style", ""))
    return asked(Draft(*[ast.literal_eval(value) for value in call.args], **given))


def read_line(code: str) -> Asked:
    assert code.startswith(f"{LINE} ")
    assert len(code.splitlines()) == 1
    return read_magic(prompting.parse(code.removeprefix(f"{LINE} ")))


def read_cell(code: str) -> Asked:
    """A cell as IPython cuts it; what no magic could carry is Python."""
    if not code.startswith(CELL):
        return read_call(code)
    head, _, body = code.partition("\n")
    assert head == code.splitlines()[0]
    return read_magic(prompting.parse_cell(head.removeprefix(CELL).strip(" "), body))


def check(draft: Draft) -> None:
    """Each of the three says what was asked for."""
    line = magic_line(draft)
    assert line is None or read_line(line) == asked(draft)
    assert read_cell(magic_cell(draft)) == asked(draft)
    assert read_call(python(draft)) == asked(draft)


def test_real_prompts_are_copied_exactly() -> None:
    """Every real prompt can be copied in each way; a line only where it is of one line."""
    for prompt in prompts("cell", everything=True):
        check(Draft(prompt))
        stripped = prompt.strip()
        one_line = len(stripped.splitlines()) == 1 and not stripped.endswith("\\")
        assert (magic_line(Draft(prompt)) is not None) == one_line
        assert magic_cell(Draft(prompt)).startswith(CELL)


@pytest.mark.parametrize("start", range(0, 20_000, 5_000))
def test_nasty_drafts_are_copied_exactly(start: int) -> None:
    """20,000 prompts and paths put together of whatever could be taken for something else."""
    for seed in range(start, start + 5_000):
        check(nasty(seed))


@pytest.mark.parametrize(
    ("draft", "line"),
    [
        (Draft("  a fox "), "%nanobanana a fox"),
        (Draft("a fox", "1:1"), "%nanobanana a fox"),
        (Draft("a fox", "auto"), "%nanobanana -a auto a fox"),
        (Draft("a fox", "16:9", "jpeg", (), 4), "%nanobanana -a 16:9 -f jpeg -n 4 a fox"),
        (Draft("go", "auto", references=("a.png",)), "%nanobanana -i a.png go"),
        (Draft("go", "1:1", references=("a.png",)), "%nanobanana -a 1:1 -i a.png go"),
        (Draft("go", references=("my fox.png",)), '%nanobanana -i "my fox.png" go'),
        (Draft("go", references=('my "fox".png',)), "%nanobanana -i 'my \"fox\".png' go"),
        (Draft("go", references=("fox", "last")), "%nanobanana -i ./fox -i ./last go"),
        (Draft("a {style} fox"), "%nanobanana --raw a {style} fox"),
        (Draft("a {{style}} fox, {1}"), "%nanobanana a {{style}} fox, {1}"),
        (Draft("--ar 3:4 fox"), "%nanobanana -- --ar 3:4 fox"),
        (Draft("-early-2000s digicam"), "%nanobanana -early-2000s digicam"),
        (Draft("{a}", references=("x y",)), '%nanobanana -i "x y" --raw {a}'),
        (Draft("-- {a}"), "%nanobanana --raw -- -- {a}"),
        (Draft("fox", "1:1", style=STYLES["ink"]), "%nanobanana --style ink fox"),
        (
            Draft("fox", "2:3", "jpeg", count=2, style=STYLES["poster"]),
            "%nanobanana -n 2 --style poster fox",
        ),
        (
            Draft("fox", "1:1", "png", style=STYLES["poster"]),
            "%nanobanana -a 1:1 -f png --style poster fox",
        ),
        (Draft("is it a fox?"), "%nanobanana is it a fox?"),
        (Draft("two\nlines"), None),
        (Draft("a\u2028b"), None),
        (Draft("a\rb"), None),
        (Draft("a fox\\"), None),
        (Draft("a\0fox"), None),
        (Draft("half \ud800"), None),
        (Draft("go", references=("both\"kinds' of.png",)), None),
        (Draft("go", references=("two\nlines.png",)), None),
    ],
)
def test_a_line_says_what_differs_from_the_defaults(draft: Draft, line: str | None) -> None:
    """A line is as short as one would type it, and there is none where it would be misread."""
    assert magic_line(draft) == line


@pytest.mark.parametrize(
    ("draft", "cell"),
    [
        (Draft("a fox"), "%%nanobanana\na fox"),
        (Draft("\n--raw\n  {it}\n", "16:9"), "%%nanobanana -a 16:9 --raw\n--raw\n  {it}"),
        (Draft("a\u2028b\n\n?"), "%%nanobanana\na\u2028b\n\n?"),
        (Draft("a\r\nb"), python(Draft("a\r\nb"))),
        (Draft("a\rb"), python(Draft("a\rb"))),
        (Draft("a\x0bb"), python(Draft("a\x0bb"))),
        (Draft("half \ud800"), python(Draft("half \ud800"))),
        (
            Draft("go", references=("both\"kinds' of.png",)),
            python(Draft("go", references=("both\"kinds' of.png",))),
        ),
    ],
)
def test_a_cell_has_the_prompt_below(draft: Draft, cell: str) -> None:
    """Nothing in a cell's prompt is an option; what an editor would change is given as Python."""
    assert magic_cell(draft) == cell


def test_python_is_readable() -> None:
    """A short call is one line; a long prompt breaks where its own lines and words do."""
    assert python(Draft("it's a fox", "16:9", count=2)) == (
        'import nanobanana_nb as nb\n\nnb.generate("it\'s a fox", aspect_ratio="16:9", count=2)'
    )
    long = Draft("a fox\n\n" + "in deep snow " * 8, references=("a.png", 'b".png'))
    assert python(long) == textwrap.dedent("""\
        import nanobanana_nb as nb

        nb.generate(
            "a fox\\n"
            "\\n"
            "in deep snow in deep snow in deep snow in deep snow in deep snow in deep "
            "snow in deep snow in deep snow",
            image_urls=["a.png", 'b".png'],
        )""")


@pytest.mark.parametrize("prompt", ["", "   ", "half \ud800", "\udfff{a}\n"])
def test_what_is_refused_anyway_is_copied_without_a_crash(prompt: str) -> None:
    """An empty prompt or half a surrogate pair is told of where it is drawn, not where copied."""
    with contextlib.suppress(RequestError):
        ImageRequest(prompt)
        pytest.fail("this prompt can be sent")
    assert read_call(python(Draft(prompt))) == asked(Draft(prompt))
    assert magic_cell(Draft(prompt)).encode("utf-8")
    magic_line(Draft(prompt))


# Runs the cells in a real IPython shell, in which each word of a prompt is a variable.
DRIVER = textwrap.dedent("""
    import contextlib, io, json, sys
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "nanobanana_nb")
    cells, names = json.load(sys.stdin)
    shell.user_ns.update(dict.fromkeys(names, "REPLACED"))
    for cell in cells:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            ended = shell.run_cell(cell, store_history=False)
        error = ended.error_before_exec or ended.error_in_exec
        assert type(error).__name__ in ("NoneType", "ContentRefused"), (cell, error)
""")


def run(interpreter: Path, cells: list[str], home: Path) -> list[Asked]:
    """What a sandbox was asked for by the cells; every refusal is one picture not drawn."""
    with Sandbox(latency=0, balance=100.0) as sandbox:
        for _ in range(4 * len(cells)):
            sandbox.fail_next("CONTENT_VIOLATION")  # accepted and recorded, and nothing to draw
        env = os.environ | {
            **{name: value for name, value in drawing_at(sandbox.url).items() if value},
            "NANOBANANA_HOME": str(home),
            "IPYTHONDIR": str(home / "ipython"),
        }
        ended = subprocess.run(
            [str(interpreter), "-c", DRIVER],
            input=json.dumps([cells, ["name", "fox", "owl"]]),
            text=True, env=env, capture_output=True, check=False, cwd=home.parent,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr[-3000:]
        return [_received(task.request["input"]) for task in sandbox.tasks]


def _received(given: dict[str, Any]) -> Asked:
    links = tuple(given.get("image_urls", ()))
    return given["prompt"], given["aspect_ratio"], given["output_format"], links, 1, None


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A host of five pictures on this machine."""
    folder = tmp_path_factory.mktemp("host")
    for number in range(5):
        Image.new("RGB", (8, 8), "red").save(folder / f"{number}.png")
    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """It serves a folder, and keeps no log."""

    def log_message(self, *_: Any) -> None: ...


def sample(host: str) -> list[Draft]:
    """Twenty real prompts where they are at hand, and forty nasty ones, with links only."""
    real = [] if not _real() else random.Random(1).sample(_real(), 20)
    drafts = [Draft(prompt) for prompt in real]
    for seed in range(40):
        draft = nasty(seed)
        links = tuple(f"{host}/{n}.png" for n in range(len(draft.references)))
        drafts.append(
            Draft(draft.prompt, draft.aspect_ratio, draft.output_format, links, draft.count)
        )
    return drafts


def _real() -> list[str]:
    try:
        return [p for p in prompts("cell", everything=False) if len(p.strip()) <= 5000]
    except pytest.skip.Exception:
        return []


@pytest.mark.parametrize("way", WAYS)
def test_what_is_copied_runs(python: Path, way: str, host: str, tmp_path: Path) -> None:
    """IPython changes nothing on the way, and no variable gets into a prompt: as asked, as sent."""
    copied = [(draft, WAYS[way](draft)) for draft in sample(host)]
    carried = [(draft, code) for draft, code in copied if code is not None]
    assert len(carried) >= 15
    wanted = [(*asked(draft)[:4], 1, None) for draft, _ in carried for _ in range(draft.count)]
    got = run(python, [code for _, code in carried], tmp_path / "home")
    assert len(got) == len(wanted)
    assert [pair for pair in zip(got, wanted, strict=True) if pair[0] != pair[1]] == []


def test_a_file_arrives_as_its_path(tmp_path: Path, python: Path) -> None:
    """Paths with blanks, quotes or a variable's name are read as these very paths."""
    paths = ("my fox.png", "it's.png", "fox", "last", "-n.png")
    code = magic_cell(Draft("go", references=paths))
    dry = code.replace(CELL, f"{CELL} --dry-run", 1)
    driver = DRIVER.replace("contextlib.redirect_stdout(io.StringIO())", "contextlib.nullcontext()")
    env = os.environ | {"NANOBANANA_HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    said = subprocess.run(
        [str(python), "-c", driver],
        input=json.dumps([[dry], ["fox", "last"]]),
        text=True, env=env, capture_output=True, check=True,
    ).stdout  # fmt: skip
    body = json.loads(said[said.index("{") : said.rindex("}") + 1])
    sent = [text.removeprefix("./") for text in body["input"]["image_urls"]]
    assert sent == list(paths)
