"""`%nanobanana_batch` in real kernels: whatever prompts come in, priced before, told once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from nanobanana_nb.prompting import BATCH_OPTIONS

from .harness.desk import Desk
from .harness.kernels import Reply
from .test_magics import one_line, shown


def told(reply: Reply) -> tuple[str, str]:
    """The two things that a batch shows: the line with its price, then its pictures."""
    price, pictures = (one["text/plain"] for one in reply.displays if one["text/plain"])
    assert {"text/html", "image/jpeg"} <= set(reply.displays[-1])
    assert "".join(shown(reply)) == price + pictures
    return price, pictures


def lines(tmp_path: Path, *prompts: object) -> Path:
    """A JSONL file with a prompt on each line."""
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(map(json.dumps, prompts)), encoding="utf-8")
    return file


def prompts(desk: Desk) -> list[str]:
    return sorted(task.prompt for task in desk.tasks)


# --------------------------------------------------------------------------------- what to draw


def test_a_file_is_drawn_line_by_line(desk: Desk, tmp_path: Path) -> None:
    """Each prompt exactly as it stands there, with what its line says; the value is a batch."""
    tricky = 'a "fox", {animal} \\ --new 🦊'
    file = lines(tmp_path, {"key": "tricky", "prompt": tricky}, {"prompt": "o", "ratio": "16:9"})
    price, pictures = told(desk.run(f"drawn = %nanobanana_batch -a 3:4 {file}"))
    assert price == "2 pictures, $0.06"
    assert pictures.startswith("2 pictures · ")
    asked = {task.prompt: task.aspect_ratio for task in desk.tasks}
    assert asked == {tricky: "3:4", "o": "16:9"}
    assert desk.value("drawn.keys") == ("tricky", 1)
    assert desk.value("drawn['tricky'].prompt") == tricky
    assert desk.value("all(one.path.exists() for one in drawn)") is True


@pytest.mark.parametrize("name", ['"{file}"', "'{file}'"])
def test_a_file_may_have_a_blank_in_its_name(desk: Desk, tmp_path: Path, name: str) -> None:
    """With quotes, and so it is not taken for several words."""
    file = tmp_path / "my prompts.txt"
    file.write_text(f"{name} one\n\n{name} two\n", encoding="utf-8")
    desk.run(f"%nanobanana_batch -q {name.format(file=file)}")
    assert prompts(desk) == [f"{name} one", f"{name} two"]


def test_a_list_of_the_notebook_is_drawn(desk: Desk) -> None:
    """In its order; and so is one of the function in which the line stands."""
    desk.run("foxes = ['a list fox', 'a list vixen']")
    desk.run("drawn = %nanobanana_batch -q foxes")
    assert desk.value("[one.prompt for one in drawn]") == ["a list fox", "a list vixen"]
    body = "    local = ['a local fox']\n    %nanobanana_batch -q local"
    desk.run(f"def draw():\n{body}\n\ndraw()")
    assert prompts(desk) == ["a list fox", "a list vixen", "a local fox"]


def test_a_dict_names_its_pictures(desk: Desk) -> None:
    """By its keys, in the value and in what is shown."""
    desk.run("named = {'red': 'a dict fox', 'grey': {'prompt': 'a dict wolf', 'format': 'jpeg'}}")
    _, pictures = told(desk.run("drawn = %nanobanana_batch named"))
    assert "[red]" in pictures
    assert "[grey]" in pictures
    assert desk.value("drawn['grey'].path.suffix") == ".jpg"


def test_a_pandas_column_is_drawn(desk: Desk) -> None:
    """By itself, or as a column of a table that is named; a wrong name is told with the others."""
    if desk.kernel.run("import pandas").status != "ok":
        pytest.skip("these are the pins of a stack without pandas")
    desk.run(
        "table = pandas.DataFrame({'words': ['a pandas fox', 'a pandas owl'],"
        " 'ratio': ['16:9', None]}, index=[7, 9])\ncolumn = table['words'].iloc[:1]"
    )
    reply = desk.kernel.run("%nanobanana_batch table")
    one_line(reply, "RequestError", "nothing was sent", "words, ratio", "column")
    desk.run("%nanobanana_batch -q column")
    assert prompts(desk) == ["a pandas fox"]
    desk.run("drawn = %nanobanana_batch -q --column words --key table table")
    asked = {task.prompt: task.aspect_ratio for task in desk.tasks[1:]}
    assert asked == {"a pandas fox": "16:9", "a pandas owl": "1:1"}
    assert desk.value("list(drawn.to_pandas()['key'])") == [0, 1]


# -------------------------------------------------------------------------------------- options


def test_help_lists_every_option(desk: Desk) -> None:
    """And says what a file may be; nothing is drawn."""
    text = desk.run("%nanobanana_batch -h prompts.jsonl").text
    for option in BATCH_OPTIONS:
        names = ", ".join(name for name in (option.short, option.long) if name)
        assert re.search(rf"^  {names}.* {re.escape(option.help)}$", text, re.MULTILINE), names
    assert "JSONL" in text
    assert desk.posts == 0


def test_a_dry_run_sends_nothing(desk: Desk) -> None:
    """It shows the first bodies that would go out, and the price of what is missing."""
    desk.run("dry = [f'a dry fox {number}' for number in range(9)]")
    text = desk.run("%nanobanana_batch --dry-run -a 16:9 dry").text
    assert text.count("POST /api/v1/generateTask/nano-banana") == 6
    assert "... and 3 more" in text
    assert text.count('"aspect_ratio": "16:9"') == 6
    assert text.splitlines()[-1] == "9 x $0.03 = $0.27; nothing was sent."
    assert desk.posts == 0
    desk.run("most = dry[:8]\n%nanobanana_batch -q -a 16:9 most")
    text = desk.run("%nanobanana_batch --dry-run -a 16:9 dry").text
    assert text.splitlines()[-1] == "1 x $0.03 = $0.03; nothing was sent."
    assert "a dry fox 8" in text
    assert desk.posts == 8


def test_output_names_a_variable(desk: Desk) -> None:
    """`-o NAME`; a name that cannot be one is told before anything is sent."""
    desk.run("asked = ['an output fox']")
    reply = desk.kernel.run("%nanobanana_batch -o 1st asked")
    one_line(reply, "RequestError", "-o 1st", "not a name")
    desk.run("%nanobanana_batch -q -o drawn asked")
    assert desk.value("(type(drawn).__name__, drawn[0].prompt)") == ("Batch", "an output fox")
    assert desk.posts == 1


def test_save_puts_copies_into_a_folder(desk: Desk, tmp_path: Path) -> None:
    """Under the keys; what can be no folder is told before anything is sent."""
    desk.run("kept = {'red fox': 'a saved fox', 'owl': 'a saved owl'}")
    file = tmp_path / "file"
    file.write_text("not a folder")
    assert desk.kernel.run(f"%nanobanana_batch -s {file} kept").status == "error"
    assert desk.posts == 0
    folder = tmp_path / "some where" / "new"
    desk.run(f'%nanobanana_batch -q -s "{folder}" kept')
    assert sorted(one.name for one in folder.iterdir()) == ["owl.png", "red-fox.png"]
    with Image.open(folder / "owl.png") as picture:
        assert picture.size == (1024, 1024)


def test_quiet_shows_no_pictures(desk: Desk) -> None:
    """Neither progress nor pictures; the line with the price is all that is said."""
    desk.run("asked = ['a quiet fox']")
    reply = desk.run("drawn = %nanobanana_batch -q asked")
    assert shown(reply) == ["1 picture, $0.03"]
    assert desk.value("drawn[0].path.exists()") is True


def test_pictures_to_go_by_and_a_style_hold_for_all(desk: Desk) -> None:
    """As for a single picture."""
    desk.run("asked = ['a styled fox', 'a styled owl']\nimport nanobanana_nb as nb")
    desk.run("base = %nanobanana -q a base")
    desk.run("%nanobanana_batch -q -i base --style ink -f jpeg asked")
    first, second = desk.tasks[1:]
    assert first.mode == second.mode == "image-to-image"
    assert first.image_urls == second.image_urls
    assert first.output_format == "jpeg"
    assert "ink" in first.prompt
    assert {"a styled fox", "a styled owl"} == {
        re.search("a styled (fox|owl)", task.prompt).group() for task in (first, second)
    }


# ---------------------------------------------------------------------------------------- money


def test_more_than_twenty_are_asked_for_first(desk: Desk) -> None:
    """One line with the count and the price; `--yes` sends them."""
    desk.run("many = [f'one of many foxes {number}' for number in range(21)]")
    reply = desk.kernel.run("%nanobanana_batch many")
    assert (reply.status, reply.ename) == ("error", "RequestError")
    assert "\n" not in reply.traceback
    for said in ("21 pictures, $0.63", "nothing was sent yet", "--yes"):
        assert said in reply.traceback
    assert desk.posts == 0
    price, _ = told(desk.run("%nanobanana_batch --yes many"))
    assert price == "21 pictures, $0.63"
    assert desk.posts == 21


def test_run_again_it_shows_what_is_there(desk: Desk) -> None:
    """For $0.00, also when the cell is another one; a longer list draws what is new; `--new` draws
    all of it."""
    desk.run("again = ['a fox again', 'an owl again']")
    first = told(desk.run("first = %nanobanana_batch again"))
    price, pictures = told(desk.run("second = %nanobanana_batch again"))
    assert first[0] == "2 pictures, $0.06"
    assert price == "0 of 2 pictures to draw, $0.00 · 2 there already"
    assert pictures.startswith("2 pictures · shown again, $0.00")
    assert desk.value("[one.id for one in first] == [one.id for one in second]") is True
    desk.run("again.append('a cat again')")
    price, _ = told(desk.run("%nanobanana_batch again"))
    assert price == "1 of 3 pictures to draw, $0.03 · 2 there already"
    assert desk.posts == 3
    desk.run("%nanobanana_batch -q --new again")
    assert desk.posts == 6


def test_a_key_is_the_same_batch_in_any_folder(desk: Desk, tmp_path: Path) -> None:
    """And without one each folder has its own."""
    desk.run("keyed = ['a keyed fox']\nimport os; here = os.getcwd()")
    desk.run("%nanobanana_batch -q --key foxes keyed")
    try:
        desk.run(f"os.chdir({str(tmp_path)!r})")
        desk.run("%nanobanana_batch -q --key foxes keyed")
        assert desk.posts == 1
        desk.run("%nanobanana_batch -q keyed")
        assert desk.posts == 2
    finally:
        desk.run("os.chdir(here)")


def test_what_the_model_failed_at_is_drawn_again_when_told_to(desk: Desk) -> None:
    """`--retries`; otherwise it is shown for what it is, at no cost."""
    desk.run("failing = ['[sandbox UPSTREAM_ERROR] a fox', 'a fine fox']")
    _, pictures = told(desk.run("drawn = %nanobanana_batch failing"))
    assert "[0]" in pictures
    assert desk.value("[one.error is None for one in drawn]") == [False, True]
    price, _ = told(desk.run("%nanobanana_batch failing"))
    assert price == "0 of 2 pictures to draw, $0.00 · 1 there already · 1 failed"
    assert desk.posts == 2
    desk.run("%nanobanana_batch -q --retries 1 failing")
    assert 3 <= desk.posts <= 4


# --------------------------------------------------------------------------------------- errors


def test_all_that_is_wrong_is_told_in_one_go(desk: Desk, tmp_path: Path) -> None:
    """By line, with its reason; and nothing is sent."""
    file = lines(
        tmp_path,
        {"prompt": "a fine one"},
        {"prompt": ""},
        {"prompt": "a fox", "ratio": "5:9"},
        {"text": "a fox"},
    )
    reply = desk.kernel.run(f"%nanobanana_batch {file}")
    assert (reply.status, reply.ename) == ("error", "RequestError")
    for said in ("nothing was sent", "3 are wrong", "line 2", "line 3", "line 4", "5:9"):
        assert said in reply.traceback
    assert "line 1:" not in reply.traceback
    assert len(reply.traceback.splitlines()) == 4
    assert shown(reply) == []
    assert desk.posts == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", ("Say what to draw from", "prompts.jsonl")),
        ("   ", ("Say what to draw from",)),
        ("-q", ("Say what to draw from",)),
        ("no-such-file.jsonl", ("no-such-file.jsonl", "no such file")),
        ("a fox in the snow", ("If it is a prompt", "nb.generate")),
        ("nothing_of_that_name", ("no such file",)),
        ("number", ("not an int",)),
        ("empty", ("no prompt",)),
        ("--retries many few", ("--retries many", "whole number")),
        ("-n 3 few", ("-n is not an option",)),
        ("--colunm words few", ("--colunm is not an option", "--column")),
        ("-a 5:9 few", ("5:9", "aspect ratio")),
        ("--style nosuch few", ("nosuch",)),
    ],
)
def test_what_cannot_be_meant_is_one_clear_line(
    desk: Desk, line: str, said: tuple[str, ...]
) -> None:
    """Nothing is sent, nothing is shown besides."""
    desk.run("few, number, empty = ['a fox that is never drawn'], 5, []")
    one_line(desk.kernel.run(f"%nanobanana_batch {line}"), "RequestError", *said)
    assert desk.posts == 0


def test_what_it_is_drawn_from_is_not_replaced(desk: Desk) -> None:
    """The cell would find pictures in place of prompts when it runs again, without their keys."""
    desk.run("own = {'red': 'a fox of its own'}")
    one_line(desk.kernel.run("%nanobanana_batch -o own own"), "RequestError", "-o own")
    assert desk.posts == 0
