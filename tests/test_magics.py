"""`%nanobanana` in real kernels: the newest one and Colab's."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
from PIL import Image

from nanobanana_nb import Sandbox
from nanobanana_nb.models import ASPECT_RATIOS
from nanobanana_nb.prompting import OPTIONS

from .conftest import drawing_at
from .harness.desk import Desk
from .harness.kernels import Kernel, Reply

# Everything of the shell that loading the extension touches.
SNAPSHOT = """
def snapshot():
    shell = get_ipython()
    formatters = shell.display_formatter.formatters.values()
    formatters = [*formatters, shell.display_formatter.ipython_display_formatter]
    return {
        "magics": {kind: dict(found) for kind, found in shell.magics_manager.magics.items()},
        "registry": dict(shell.magics_manager.registry),
        "transformers": [*shell.input_transformers_cleanup, *shell.input_transformers_post],
        "formatters": [(dict(f.type_printers), dict(f.deferred_printers)) for f in formatters],
        "events": {name: list(found) for name, found in shell.events.callbacks.items()},
        "configurables": list(shell.configurables),
        "hooks": {n: (dict(d.strs), dict(d.regexs)) for n, d in shell.strdispatchers.items()},
        "matchers": [
            *getattr(shell.Completer, "custom_matchers", ()),
            *getattr(shell.Completer, "magic_arg_matchers", ()),
        ],
    }

def changed(before):
    return [name for name, value in snapshot().items() if value != before[name]]
"""


def shown(reply: Reply) -> list[str]:
    """What a cell shows, in words: its displays but for the empty ones, then its streams."""
    words = [str(output["text/plain"]) for output in reply.displays]
    streams = [output.text for output in reply.area.outputs if output.stream]
    return [text for text in (*words, *streams) if text]


def one_picture(reply: Reply) -> str:
    """The words of the only thing that a cell shows, which is a picture."""
    (output,) = reply.displays
    assert {"text/html", "image/jpeg", "text/plain"} <= set(output)
    (words,) = shown(reply)
    return words


def one_line(reply: Reply, error: str, *said: str) -> str:
    """The only thing that a failed cell shows: one line that holds everything in `said`."""
    assert (reply.status, reply.ename) == ("error", error), reply.traceback
    assert "\n" not in reply.traceback
    assert reply.traceback.startswith(f"{error}: ")
    assert [text for text in said if text not in reply.traceback] == [], reply.traceback
    assert shown(reply) == []
    return reply.traceback


def watched(kernel: Kernel, request: str) -> list[str]:
    """Everything that the displays of a running cell say until its end, each text once."""
    seen: dict[str, None] = {}

    def look() -> bool:
        area = kernel.area(request)
        seen.update(dict.fromkeys(str(output.data["text/plain"]) for output in area.rich()))
        return area.idle

    kernel.wait_until(look)
    return list(seen)


# ---------------------------------------------------------------- shown once, whatever the form


def test_a_line_draws_and_shows_the_picture_once(desk: Desk) -> None:
    """The progress is replaced by the picture, and IPython's `Out` does not show it again."""
    words = one_picture(desk.run("%nanobanana a fox in watercolor"))
    assert words.startswith("“a fox in watercolor” · 1024 × 1024 png")
    assert "$0.03" in words
    assert desk.task.prompt == "a fox in watercolor"
    assert desk.value("_.prompt") == "a fox in watercolor"


def test_an_assigned_picture_is_shown_once_and_again_on_demand(desk: Desk) -> None:
    """`x = %nanobanana p` shows what it drew; `x` later shows the same once more."""
    first = one_picture(desk.run("x = %nanobanana a red fox"))
    assert one_picture(desk.run("x")) == first
    assert one_picture(desk.run("x")) == first
    assert desk.posts == 1


def test_a_picture_named_in_its_own_cell_is_shown_once(desk: Desk) -> None:
    """People end a cell with the name of what they made."""
    assert "a blue fox" in one_picture(desk.run("x = %nanobanana a blue fox\nx"))


def test_a_cell_takes_the_prompt_from_its_first_line_and_its_body(desk: Desk) -> None:
    """Neither part is lost, the options count, and the line breaks stay."""
    one_picture(desk.run("%%nanobanana -a 16:9 a fox\nin the snow,\n\n  at night\n"))
    one_picture(desk.run("%%nanobanana\nan owl\n"))
    first, second = desk.tasks
    assert (first.prompt, first.aspect_ratio) == ("a fox\nin the snow,\n\n  at night", "16:9")
    assert (second.prompt, second.aspect_ratio) == ("an owl", "1:1")


def test_a_loop_draws_one_picture_per_turn(desk: Desk) -> None:
    """Each is shown once, with the word that was put in."""
    reply = desk.run("for animal in ['fox', 'owl']:\n    %nanobanana a {animal}")
    assert [task.prompt for task in desk.tasks] == ["a fox", "a owl"]
    told, fox, told_again, owl = shown(reply)
    assert (told, told_again) == ("{animal} is fox", "{animal} is owl")
    assert ("“a fox”" in fox, "“a owl”" in owl) == (True, True)


def test_a_local_name_of_a_function_is_put_in(desk: Desk) -> None:
    """Not only the names of the notebook."""
    desk.run("def draw(animal):\n    %nanobanana -q a {animal}\n\ndraw('badger')")
    assert desk.task.prompt == "a badger"


def test_a_gallery_is_one_output(desk: Desk) -> None:
    """`-n 2`: two tasks, one display with its total."""
    words = one_picture(desk.run("both = %nanobanana -n 2 a fox"))
    assert words.splitlines()[0] == "2 pictures · $0.06"
    assert desk.posts == 2
    assert desk.value("len({one.task_id for one in both})") == 2


@pytest.mark.parametrize(
    "code",
    [
        "%%time\n%nanobanana a timed fox",
        "%time %nanobanana a timed fox",
        "%time x = %nanobanana a timed fox",
    ],
)
def test_timed_it_is_shown_once(desk: Desk, code: str) -> None:
    """IPython runs the line in its own way there."""
    reply = desk.run(code)
    assert len(reply.displays) == 1
    assert "Wall time" in reply.text
    assert desk.task.prompt == "a timed fox"


def test_captured_it_is_not_shown(desk: Desk) -> None:
    """`%%capture` keeps the picture for later."""
    assert shown(desk.run("%%capture kept\n%nanobanana a fox")) == []
    assert desk.posts == 1


# ------------------------------------------------------------------------------------- options


def test_output_names_a_variable(desk: Desk) -> None:
    """`-o NAME` in a cell magic, which cannot be assigned."""
    one_picture(desk.run("%%nanobanana -o drawn\na fox"))
    assert desk.value("drawn.task_id") == desk.task.id


def test_save_puts_copies_where_they_are_wanted(desk: Desk, tmp_path: Path) -> None:
    """A file under a name with a blank, another format, a folder, and several numbered."""
    desk.run(f'%nanobanana -q -s "{tmp_path}/my fox.png" a fox')
    desk.run(f"%nanobanana -q -s={tmp_path}/fox.jpg a fox".replace("-s=", "--save="))
    desk.run(f"%nanobanana -q -n 2 -s {tmp_path}/both.png a fox")
    (tmp_path / "folder").mkdir()
    desk.run(f"x = %nanobanana -q -n 2 -s {tmp_path}/folder a fox")
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {
        "my fox.png",
        "fox.jpg",
        "both-1.png",
        "both-2.png",
    }
    names = desk.value("sorted(picture.path.name for picture in x.images)")
    assert sorted(file.name for file in (tmp_path / "folder").iterdir()) == names
    with Image.open(tmp_path / "fox.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (1024, 1024))


def test_quiet_shows_nothing_and_returns_the_picture(desk: Desk) -> None:
    """Neither progress nor picture, assigned or not."""
    assert desk.run("%nanobanana -q a fox").area.outputs == []
    assert desk.run("x = %nanobanana --quiet an owl").area.outputs == []
    assert desk.value("(x.prompt, x.path.exists())") == ("an owl", True)


def test_raw_leaves_names_alone(desk: Desk) -> None:
    """A template is sent as it is."""
    desk.run("animal = 'fox'\n%nanobanana -q --raw a {animal}")
    assert desk.task.prompt == "a {animal}"


def test_dry_run_sends_nothing(desk: Desk, tmp_path: Path) -> None:
    """It shows the body that would go out, and the price of all of it."""
    reply = desk.run("%nanobanana --dry-run -n 3 -a 16:9 -f jpeg -i https://e.com/a.png a fox")
    path, *body, price = reply.text.splitlines()
    assert path == "POST /api/v1/generateTask/nano-banana"
    assert json.loads("\n".join(body))["input"] == {
        "mode": "image-to-image",
        "prompt": "a fox",
        "aspect_ratio": "16:9",
        "output_format": "jpeg",
        "image_urls": ["https://e.com/a.png"],
    }
    assert price == "3 x $0.03 = $0.09; nothing was sent."
    assert desk.posts == 0


@pytest.mark.parametrize(
    "code", ["%nanobanana -h", "%nanobanana --help a fox", "%%nanobanana -h\n\n"]
)
def test_help_lists_every_option(desk: Desk, code: str) -> None:
    """And draws nothing."""
    text = desk.run(code).text
    assert [option.long for option in OPTIONS if option.long not in text] == []
    assert desk.posts == 0


def test_an_image_can_be_the_last_one_a_result_or_a_link(desk: Desk) -> None:
    """`-i` by name, several in their order; without -a the API picks the ratio."""
    desk.run("owl = %nanobanana -q an owl")
    desk.run("fox = %nanobanana -q a fox")
    desk.run("link = fox.url")
    desk.run("%nanobanana -q -i last at sunrise")
    desk.run("%nanobanana -q -i owl -i link -a 4:5 together")
    owl, fox = desk.value("(owl.url, fox.url)")
    *_, edit, both = desk.tasks
    assert (edit.mode, edit.image_urls, edit.aspect_ratio) == ("image-to-image", (fox,), "auto")
    assert (both.image_urls, both.aspect_ratio) == ((owl, fox), "4:5")


def test_two_dashes_end_the_options(desk: Desk) -> None:
    """A prompt may begin with what looks like an option."""
    desk.run("%nanobanana -q -a 16:9 -- -a 4:5 --quiet fox")
    assert (desk.task.prompt, desk.task.aspect_ratio) == ("-a 4:5 --quiet fox", "16:9")


def test_only_plain_names_are_replaced_and_that_is_told(desk: Desk) -> None:
    """Nothing is evaluated: other braces and dollars arrive as typed."""
    others = '{{animal}} {1+1} {nothing} {"a": 1} $animal {animal.upper()}'
    desk.run("animal, size = 'fox', 3")
    reply = desk.run(f"%nanobanana {{size}} {{animal}}es, {others}")
    assert shown(reply)[0] == "{size} is 3, {animal} is fox"
    assert desk.task.prompt == f"3 foxes, {others}"


def test_a_midjourney_flag_is_sent_and_remarked_on(desk: Desk) -> None:
    """It is text to this API; the option that does it is named."""
    hint, picture = shown(desk.run("%nanobanana a fox --ar 3:4"))
    assert "--ar 3:4 is sent as text" in hint
    assert "-a 3:4" in hint
    assert picture.startswith("“a fox --ar 3:4”")
    assert (desk.task.prompt, desk.task.aspect_ratio) == ("a fox --ar 3:4", "1:1")


def test_a_question_is_drawn_and_a_question_mark_alone_explains(desk: Desk) -> None:
    """IPython takes a final `?` for a request for help (ipython#14258)."""
    one_picture(desk.run("%nanobanana a fox?"))
    one_picture(desk.run("x = %nanobanana what about an owl?"))
    assert [task.prompt for task in desk.tasks] == ["a fox?", "what about an owl?"]
    help_of = "shell.run_cell({!r}); print(shell.payload_manager.read_payload()[-1]['data'])"
    for typed in ("%nanobanana?", "%%nanobanana?"):
        reply = desk.run("shell = get_ipython()\n" + help_of.format(typed))
        assert "Draw a picture" in reply.text
    assert desk.posts == 2


# ------------------------------------------------------------------------------------ progress


def test_progress_is_shown_while_it_is_drawn(desk: Desk) -> None:
    """State, time and price, live; the picture takes its place."""
    request = desk.kernel.send("%nanobanana [sandbox slow-submit=1.2] a fox")
    seen = watched(desk.kernel, request)
    assert len([words for words in seen if re.match(r"Sending · \d s of about", words)]) > 1
    assert all("$0.03" in words for words in seen)
    assert one_picture(desk.kernel.reply(request)) == seen[-1]


# -------------------------------------------------------------------------------------- errors

BAD_INPUT = [
    ("", "The prompt is empty", "e.g. a fox"),
    ("   ", "The prompt is empty", "e.g. a fox"),
    ("-a 16:9", "The prompt is empty", "e.g. a fox"),
    ("x" * 5001, "5,001 characters", "Cut 1"),
    ("-i https://e.com/a.png " * 6 + "a fox", "6 reference pictures", "1 to 5"),
    ("-a 2:7 a fox", "'2:7'", "21:9"),
    ("-f gif a fox", "'gif'", "png, jpeg"),
    ("-z a fox", "-z is not an option", "-h lists"),
    ("--quite a fox", "--quite is not an option", "Did you mean --quiet?"),
    ("-a", "-a needs a value", "16:9"),
    ("-i nosuch a fox", "nosuch", "give one, a link, a file or last"),
    ("-i number a fox", "A int is not a picture", "give a link"),
    ("-i nowhere.png a fox", "'nowhere.png'", "link"),
    ("-n x a fox", "-n x", "such as -n 4"),
    ("-n 0 a fox", "0", "1 or more"),
    ("-n 21 a fox", "$0.63", "--yes"),
    ("-o 9x a fox", "-o 9x is not a name", "such as -o "),
    ("-o class a fox", "-o class is not a name", "such as -o "),
    ("-s nowhere/fox.png a fox", "nowhere", "cannot be written"),
    ("-s fox a fox", "fox", ".png"),
]


@pytest.mark.parametrize(
    ("typed", "named", "next_step"), BAD_INPUT, ids=[row[0][:24].strip() for row in BAD_INPUT]
)
def test_bad_input_is_one_line_and_sends_nothing(
    desk: Desk, typed: str, named: str, next_step: str
) -> None:
    """What is wrong and what to do instead, before any money is spent; the next cell works."""
    desk.run("number = 3")
    one_line(desk.kernel.run(f"%nanobanana {typed}"), "RequestError", named, next_step)
    assert desk.posts == 0
    assert desk.value("1 + 1") == 2


@pytest.mark.parametrize(
    ("directive", "error", "said"),
    [
        ("402", "BalanceTooLow", "Top up"),
        ("insufficient", "BalanceTooLow", "Top up"),
        ("401", "KeyRefused", "Set a valid APIXO_API_KEY"),
        ("403", "AccessDenied", "permissions"),
        ("CONTENT_VIOLATION", "ContentRefused", "Change the prompt"),
    ],
)
def test_what_the_api_says_is_one_line(desk: Desk, directive: str, error: str, said: str) -> None:
    """No money, no key, refused content, no answer: one POST, one line, and no half display."""
    one_line(desk.kernel.run(f"x = %nanobanana [sandbox {directive}] a fox"), error, said)
    assert desk.posts == 1
    one_picture(desk.run("%nanobanana a fox"))


def test_bad_settings_are_one_line_each_and_can_be_put_right(
    python: Path, api: Sandbox, tmp_path: Path
) -> None:
    """A key with a line break, a home that is a file: told before anything is sent, and once
    they are right the same kernel draws."""
    home = tmp_path / "home"
    home.write_text("in its place")
    env = drawing_at(api.url) | {"APIXO_API_KEY": "a\nb", "NANOBANANA_HOME": str(home)}
    with Kernel(python, env=env) as kernel:
        desk = Desk(kernel, api)
        desk.run("%load_ext nanobanana_nb")
        one_line(kernel.run("%nanobanana a fox"), "ConfigError", "API key", "copy just the key")
        desk.run("import os; os.environ['APIXO_API_KEY'] = 'test-key'")
        one_line(kernel.run("%nanobanana a fox"), "ConfigError", str(home), "set NANOBANANA_HOME")
        assert desk.posts == 0
        home.unlink()
        one_picture(desk.run("%nanobanana a fox"))


@pytest.mark.nightly
def test_an_api_that_does_not_answer_is_one_line(python: Path) -> None:
    """After its tries, which take seven seconds; when it is back, the next cell draws."""
    with socket.socket() as reserved:  # bound and deaf: connections are refused
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        with Kernel(python, env=drawing_at(url)) as kernel:
            kernel.run("%load_ext nanobanana_nb")
            reply = kernel.run("%nanobanana a fox")
            one_line(reply, "TransportError", url, "no task was made", "APIXO_BASE_URL")
            reserved.close()
            with Sandbox(latency=0, port=port) as api:
                desk = Desk(kernel, api)
                one_picture(desk.run("%nanobanana a fox"))
                assert desk.posts == 1


# --------------------------------------------------------------------------------- the sandbox


def test_without_a_key_the_sandbox_draws_and_says_so_once(python: Path, tmp_path: Path) -> None:
    """A first session: nothing to go by yet, a picture with live progress, an edit of it, of a
    file and of a Pillow image; the notice is there exactly once, and the price is no real one."""
    Image.new("RGB", (400, 300), "red").save(tmp_path / "red.png")
    with Kernel(python) as kernel:
        kernel.run("%load_ext nanobanana_nb")
        first = kernel.run("%nanobanana -i last a fox")
        assert first.ename == "RequestError"
        assert "no last picture" in first.traceback
        replies = [first]
        request = kernel.send("fox = %nanobanana a fox in watercolor")
        seen = watched(kernel, request)
        drawing = [words for words in seen if re.match(r"Being drawn · \d s of about 2 s", words)]
        assert len(drawing) > 1
        assert all("of sandbox money" in words for words in drawing)
        replies.append(kernel.reply(request))
        assert "$0.03 of sandbox money" in one_picture(replies[-1])
        kernel.run("from PIL import Image; square = Image.new('RGB', (64, 64), 'blue')")
        references = f"-i last -i fox -i square -i {tmp_path}/red.png"
        replies.append(kernel.run(f"edit = %nanobanana {references} brighter"))
        assert "“brighter”" in one_picture(replies[-1])
        links = kernel.run("print(*edit.request.image_urls)").text.split()
        last, fox, square, red = (link.rpartition("/")[2] for link in links)
        assert last == fox != square
        assert red.endswith(".png")
        assert red != square
        told = [words for reply in replies for words in shown(reply) if "no API key" in words]
        assert len(told) == 1
        assert "APIXO_API_KEY" in told[0]


def test_a_key_that_is_set_later_counts(python: Path, api: Sandbox) -> None:
    """The notice says to set the variable: from then on the API draws, not the sandbox."""
    with Kernel(python) as kernel:
        kernel.run("%load_ext nanobanana_nb")
        assert "image/jpeg" in kernel.run("%nanobanana a fox").displays[-1]
        env = drawing_at(api.url)
        assert kernel.run(f"import os; os.environ.update({env!r})").status == "ok"
        posts = api.counts["submit"]
        one_picture(kernel.run("%nanobanana a fox"))
        assert api.counts["submit"] == posts + 1


# ------------------------------------------------------------------------- part of the shell


def test_config_sets_a_ratio_for_all(desk: Desk) -> None:
    """`%config` is remembered; an option on the line wins; a wrong value is told and refused."""
    try:
        assert shown(desk.run('%config NanoBananaMagics.aspect_ratio = "16:9"')) == []
        desk.run("%nanobanana -q a wide fox")
        desk.run("%nanobanana -q -a 4:5 a tall fox")
        (told,) = shown(desk.run('%config NanoBananaMagics.aspect_ratio = "2:7"'))
        assert "aspect_ratio" in told
        assert "16:9" in told
        desk.run("%nanobanana -q a wide fox")
        assert [task.aspect_ratio for task in desk.tasks] == ["16:9", "4:5", "16:9"]
    finally:
        forget_config(desk)


def test_a_refused_setting_does_not_break_the_next_load(desk: Desk) -> None:
    """IPython keeps the wrong value in its own configuration, and hands it to the next magics."""
    try:
        desk.run('%config NanoBananaMagics.aspect_ratio = "2:7"')
        desk.run("%reload_ext nanobanana_nb")
        desk.run("%nanobanana -q a fox")
        assert desk.task.aspect_ratio == "1:1"
    finally:
        forget_config(desk)


def forget_config(desk: Desk) -> None:
    """Back to the defaults, whatever happened."""
    desk.kernel.run("%unload_ext nanobanana_nb")
    desk.kernel.run("_ = get_ipython().config.pop('NanoBananaMagics', None)")
    desk.run("%load_ext nanobanana_nb")


@pytest.mark.parametrize("start", ["%nanobanana", "x = %nanobanana", "%%nanobanana"])
def test_tab_offers_our_options_and_their_values_only(desk: Desk, start: str) -> None:
    """In a line, an assignment and a cell; the choice completes what was typed."""
    names = {name for option in OPTIONS for name in (option.short, option.long) if name}
    for typed, choices in [
        ("-", {f"{start} {name}" for name in names}),
        ("--as", {f"{start} --aspect-ratio"}),
        ("-a ", {f"{start} -a {ratio}" for ratio in ASPECT_RATIOS}),
        ("-a 16:", {f"{start} -a 16:9"}),
        ("-q --aspect-ratio 2", {f"{start} -q --aspect-ratio {r}" for r in ("2:3", "21:9")}),
        ("-f j", {f"{start} -f jpeg"}),
    ]:
        offered = desk.value(f"tab({f'{start} {typed}'!r})")
        assert isinstance(offered, list)
        assert set(offered) == choices, typed


def test_tab_offers_the_magic_itself(desk: Desk) -> None:
    """By its first letters."""
    assert "%nanobanana" in str(desk.value("tab('%nanob')"))


def test_unloading_leaves_the_shell_as_it_was(python: Path, api: Sandbox) -> None:
    """Magics, transformers, formatters, events, settings and completions; then it loads again."""
    with Kernel(python, env=drawing_at(api.url)) as kernel:
        desk = Desk(kernel, api)
        desk.run("%unload_ext nanobanana_nb")  # IPython registers its own magic for this just now
        desk.run(SNAPSHOT)
        desk.run("before = snapshot()")
        desk.run("%load_ext nanobanana_nb")
        touched = desk.value("changed(before)")
        assert {"magics", "registry", "transformers", "events", "configurables"} <= set(touched)
        one_picture(desk.run("%nanobanana a fox"))
        desk.run("%unload_ext nanobanana_nb")
        assert desk.value("changed(before)") == []
        assert kernel.run("%nanobanana a fox").status == "error"
        desk.run("%load_ext nanobanana_nb")
        one_picture(desk.run("%nanobanana a fox"))
        assert desk.posts == 2


def test_loading_twice_or_again_is_harmless(desk: Desk) -> None:
    """One picture, shown once, and nothing registered twice."""
    desk.run("%unload_ext nanobanana_nb\n%load_ext nanobanana_nb")
    desk.run(SNAPSHOT)
    desk.run("loaded = snapshot()")
    desk.run("%load_ext nanobanana_nb")
    desk.run("import nanobanana_nb; nanobanana_nb.load_ipython_extension(get_ipython())")
    one_picture(desk.run("%nanobanana a fox"))
    assert desk.value("changed(loaded)") == []
    desk.run("%reload_ext nanobanana_nb")
    one_picture(desk.run("x = %nanobanana an owl"))
    desk.run("def sizes(state):\n    return {name: len(found) for name, found in state.items()}")
    assert desk.value("sizes(snapshot())") == desk.value("sizes(loaded)")
    assert desk.posts == 2


def test_the_history_is_shown_and_gone_on_from(desk: Desk) -> None:
    """By words and options; the value is a sequence of results with all their verbs."""
    desk.run("import nanobanana_nb as nb")
    desk.run("%nanobanana a heron in the reeds")
    found = desk.run("found = %nanobanana_history heron reeds")
    assert "a heron in the reeds" in shown(found)[-1]
    assert desk.value("len(found)") == 1
    desk.run("_ = found[0].star()")
    assert "★" in shown(desk.run("%nanobanana_history --starred heron"))[-1]
    assert desk.value("len(nb.history('heron', state='failed'))") == 0
    assert "--since" in desk.run("%nanobanana_history -h").text
    assert desk.kernel.run("%nanobanana_history --sins 2026 fox").ename == "RequestError"


def test_an_attempt_in_doubt_is_a_card_with_ways_out(desk: Desk) -> None:
    """The card, then one line; each way out that it names works as it is written there."""
    lost = desk.kernel.run("%nanobanana [sandbox drop] a lost fox")
    assert lost.ename == "SubmitUnknown"
    (card,) = [one for one in lost.displays if one.get("text/plain")]
    ways = re.findall(r"%nanobanana_\w+(?: [0-9a-f]{8})?", card["text/plain"])
    assert [way.split()[0] for way in ways] == [
        "%nanobanana_balance",
        "%nanobanana_again",
        "%nanobanana_dismiss",
    ]
    told = " ".join(shown(desk.run(ways[0])))
    assert "In doubt" in told
    assert 'state="unknown"' in " ".join(shown(desk.run("%nanobanana_resume")))
    again = desk.kernel.run(ways[1])  # the prompt asks for the same accident
    assert again.ename == "SubmitUnknown"
    desk.run(ways[2])
    assert desk.kernel.run(ways[2]).ename == "RequestError"
    assert desk.posts == 2


def test_the_budget_is_set_and_lifted_in_the_notebook(desk: Desk) -> None:
    """`%config` caps the day for magics and code alike; None takes the cap away."""
    try:
        desk.run("%config NanoBananaMagics.budget = 0.01")
        assert desk.kernel.run("%nanobanana a fox").ename == "BudgetReached"
        assert desk.kernel.run("import nanobanana_nb as nb; nb.generate('a fox')").ename == (
            "BudgetReached"
        )
        assert desk.kernel.run("%nanobanana --yes -n 30 a fox").ename in ("", "BudgetReached")
        assert desk.posts == 0
    finally:
        desk.run("%config NanoBananaMagics.budget = None")
    one_picture(desk.run("%nanobanana a fox"))


def test_a_model_that_fails_is_asked_again_when_told_to(desk: Desk) -> None:
    """`--retries` opts in; without it a failed task stays one."""
    assert desk.kernel.run("%nanobanana [sandbox UPSTREAM_ERROR] a fox").ename == "TaskFailed"
    assert desk.posts == 1
    assert desk.kernel.run("%nanobanana --retries 2 [sandbox TIMEOUT] a fox").ename == "TaskFailed"
    assert desk.posts == 4
