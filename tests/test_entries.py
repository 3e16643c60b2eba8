"""What a batch is given: every way to write prompts down is read as meant, or told by its line."""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanobanana_nb import entries as module
from nanobanana_nb.entries import Entry, read
from nanobanana_nb.errors import RequestError
from nanobanana_nb.models import ImageRequest
from nanobanana_nb.results import Gallery, Generation

from .conftest import PROMPTS

LINK = "https://example.com/fox.png"
PUT = Callable[[str, str], Path]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80).filter(str.strip)
SETTINGS = {"aspect_ratio": "16:9", "output_format": "jpeg"}


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PUT:
    """Writes a file into the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str, encoding: str = "utf-8") -> Path:
        Path(name).write_bytes(text.encode(encoding))
        return Path(name)

    return write


def prompts(entries: list[Entry]) -> list[str]:
    return [entry.prompt for entry in entries]


def told(given: Any, **more: str) -> str:
    """What the one error says."""
    with pytest.raises(RequestError) as refused:
        read(given, **more)
    assert "nothing was sent" in str(refused.value)
    return str(refused.value)


def generation(request: ImageRequest) -> Generation:
    return Generation(request, "id", "task", (), Decimal(0), None, datetime.now(UTC))


# -- prompts arrive exactly as they stand


def as_json_lines(texts: list[str], file: Path) -> Path:
    file.write_text("".join(f"{json.dumps(one)}\n" for one in texts), encoding="utf-8")
    return file


def as_raw_objects(texts: list[str], file: Path) -> Path:
    lines = [json.dumps({"prompt": one}, ensure_ascii=False) + "\r\n" for one in texts]
    file.write_text("".join(lines), encoding="utf-8-sig", newline="")
    return file


def as_csv(texts: list[str], file: Path, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with file.open("w", encoding=encoding, newline="") as opened:
        writer = csv.writer(opened, delimiter=delimiter)
        writer.writerow(["note", "prompt"])
        writer.writerows([["x", one] for one in texts])
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("written")


@settings(deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
@example(texts=["a\u2028b\x85c\x0bd", " {name} \\n \"x\" '' ", "\ufeffa", "\r"])
def test_json_lines_come_back_identical(folder: Path, texts: list[str]) -> None:
    """Whatever is written as JSON, escaped or raw, is read with every character it had."""
    texts = [one for one in texts if one.strip()]
    assert prompts(read(as_json_lines(texts, folder / "a.jsonl"))) == texts
    assert prompts(read(as_raw_objects(texts, folder / "b.ndjson"))) == texts


@settings(deadline=None)
@given(
    texts=st.lists(TEXTS.filter(lambda text: "\0" not in text), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@example(texts=['a "quoted", b\r\nc;\td', '"', " a\n\n"], delimiter=",", encoding="utf-8")
def test_csv_comes_back_identical(
    folder: Path, texts: list[str], delimiter: str, encoding: str
) -> None:
    """Quotes, line breaks and delimiters in a cell are the prompt's own, in every encoding."""
    file = as_csv(texts, folder / "a.csv", delimiter, encoding)
    assert prompts(read(file)) == texts


def test_real_prompts_come_back_identical(folder: Path) -> None:
    """1,500 prompts that people wrote: from the collection itself, and from a CSV of them."""
    if not PROMPTS.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{PROMPTS} is missing")
        pytest.skip("the collection of real prompts is not on this machine")
    lines = PROMPTS.read_text(encoding="utf-8").split("\n")
    texts = [json.loads(line)["prompt"] for line in lines if line]
    sendable = [text for text in texts if len(text.strip()) <= 5000]
    assert prompts(read(as_csv(sendable, folder / "real.csv"))) == sendable
    assert prompts(read(as_raw_objects(sendable, folder / "real.jsonl"))) == sendable
    if sendable == texts:
        assert prompts(read(PROMPTS)) == texts
    else:
        assert f"{len(texts) - len(sendable)} are wrong" in told(PROMPTS)


def test_text_is_a_prompt_a_line(put: PUT) -> None:
    """Blank lines are none, blanks at the ends stay, and quotes and braces mean nothing."""
    file = put("a.txt", '\ufeffa fox\r\n\r\n  "an owl" {x} \n\u2028 b\n')
    assert prompts(read(file)) == ["a fox", '  "an owl" {x} ', "\u2028 b"]
    assert [entry.place for entry in read(file)] == ["line 1", "line 3", "line 4"]


# -- what a row says besides


def test_an_object_says_its_key_and_its_settings(put: PUT) -> None:
    """By our names and by those of other tools; what we do not know is left alone."""
    file = put(
        "a.jsonl",
        '{"prompt": "a", "id": 7, "ratio": "16:9", "format": "jpeg", "license": "MIT"}\n'
        f'{{"Prompt": "b", "name": "owl", "images": ["{LINK}", "b.png"], "style": "ink"}}\n'
        f'{{"prompt": "c", "id": "x", "key": " k ", "image": "{LINK}", "style": ["ink"]}}\n'
        '{"prompt": "d", "Aspect Ratio": null, "format": " "}\n',
    )
    assert read(file) == [
        Entry("7", "a", SETTINGS),
        Entry("owl", "b", {"image_urls": (LINK, "b.png"), "style": "ink"}),
        Entry(" k ", "c", {"image_urls": (LINK,), "style": ["ink"]}),
        Entry(3, "d", {}),
    ]


def test_a_table_in_a_file_says_the_same(put: PUT) -> None:
    """Column names in any spelling and in quotes; empty cells say nothing; empty rows are none."""
    file = put(
        "a.csv",
        '"Notes, a, b, c, d";Aspect Ratio;PROMPT;id\n'
        "x;16:9;a fox, red;\n;;;\n;;an owl;7\nshort;1:1;b\n",
    )
    assert read(file) == [
        Entry(0, "a fox, red", {"aspect_ratio": "16:9"}),
        Entry("7", "an owl", {}),
        Entry(2, "b", {"aspect_ratio": "1:1"}),
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_the_only_column_needs_no_name_and_no_quotes(put: PUT, name: str) -> None:
    """In a file of one column every comma belongs to a prompt; cells in quotes are cells still."""
    file = put(name, 'what to draw\na fox, red; or blue\n"an ""owl"",\nwhite"\n')
    assert prompts(read(file)) == ["a fox, red; or blue", 'an "owl",\nwhite']


def test_the_column_of_the_prompts_can_be_named(put: PUT) -> None:
    """In files, tables and objects alike; the name it has elsewhere counts no more."""
    assert prompts(read(put("a.csv", "prompt,Text\nno,a fox\n"), column="text")) == ["a fox"]
    assert prompts(read(put("b.csv", "Text,text\nno,a fox\n"), column="text")) == ["a fox"]
    assert read([{"name": "a fox", "prompt": "no"}], column="name") == [Entry(0, "a fox", {})]
    table = pandas.DataFrame({"prompt": ["no"], "text": ["a fox"], "key": ["k"]})
    assert read(table, column="text") == [Entry("k", "a fox", {})]
    error = told(table, column="txet")
    assert "There is no column txet. Did you mean text? There are prompt, text, key." in error


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('["a", {"prompt": "b", "key": "k"}]', [0, "k"]),
        ('{"fox": "a", "owl": {"prompt": "b", "key": "not this"}}', ["fox", "owl"]),
    ],
)
def test_one_json_value_holds_all(put: PUT, text: str, keys: list[str | int]) -> None:
    """A .json file is a list, or an object with a name for each."""
    entries = read(put("a.json", text))
    assert [(entry.key, entry.prompt) for entry in entries] == list(zip(keys, "ab", strict=True))
    assert module.named(entries)
    assert not module.named(read(["a"]))


# -- what Python has


class Column(list[str]):
    """A column of some other table library."""


class Frame:
    """A table that is not pandas'."""

    columns = ("id", "prompt", "score")

    def __getitem__(self, name: str) -> Column:
        return Column([f"{name} {number}" for number in range(2)])


def test_python_values_are_read_side_by_side() -> None:
    """Texts, dicts, requests and results may stand in one list; results ask for the same again."""
    request = ImageRequest("c", "16:9", "jpeg", (LINK,))
    result = generation(ImageRequest("d"))
    plain = {"aspect_ratio": "1:1", "output_format": "png"}
    assert read(["a", {"prompt": "b", "style": "ink"}, request, result]) == [
        Entry(0, "a", {}),
        Entry(1, "b", {"style": "ink"}),
        Entry(2, "c", {**SETTINGS, "image_urls": (LINK,)}),
        Entry(3, "d", plain),
    ]
    assert read(Gallery([result])) == [Entry(0, "d", plain)]
    assert read({"fox": "a", 7: result}) == [Entry("fox", "a", {}), Entry("7", "d", plain)]
    assert read(iter("ab")) == read(("a", "b")) == read(["a", "b"])


def test_pictures_to_go_by_need_no_link_yet() -> None:
    """Files and results stand in for pictures as they do elsewhere; nothing is looked up here."""
    result = generation(ImageRequest("d"))
    [entry] = read([{"prompt": "a", "image": [Path("fox.png"), result]}])
    assert entry.settings == {"image_urls": (Path("fox.png"), result)}
    assert read([{"prompt": "a", "image": result}])[0].settings == {"image_urls": (result,)}


def test_tables_are_read_without_their_library() -> None:
    """pandas and what quacks like it: missing values say nothing, numbers are names."""
    table = pandas.DataFrame(
        {"prompt": ["a", "b"], "ratio": ["16:9", float("nan")], "id": [1, 2], "score": [1.5, 2]},
        index=[8, 9],
    )
    assert read(table) == [Entry("1", "a", {"aspect_ratio": "16:9"}), Entry("2", "b", {})]
    assert prompts(read(table["prompt"])) == ["a", "b"]
    assert prompts(read(table["prompt"].to_numpy())) == ["a", "b"]
    assert read(Frame()) == [Entry("id 0", "prompt 0", {}), Entry("id 1", "prompt 1", {})]
    missing = pandas.DataFrame({"prompt": pandas.array(["a", pandas.NA], dtype="string")})
    assert told(missing) == "The DataFrame: nothing was sent. Number 1: there is no prompt."
    double = pandas.DataFrame([["a", "x", "y"]], columns=["prompt", "style", "style"])
    assert "There are several columns style" in told(double)


# -- everything that is wrong, at once


def test_all_that_is_wrong_is_told_by_line(put: PUT) -> None:
    """One error for the whole file: eight lines with what is wrong there, and how many more."""
    file = put(
        "a.jsonl",
        '"a fox"\n'
        "a fox\n"
        "\n"
        '{"prompt": "b", "id": "owl"}\n'
        '{"prompt": " "}\n'
        '{"text": "c"}\n'
        "[1]\n"
        '{"prompt": 5}\n'
        f'{{"prompt": "{"x" * 5001}"}}\n'
        '{"prompt": "d", "name": "owl"}\n'
        '{"prompt": "e", "ratio": "16:10"}\n'
        '{"prompt": "f", "format": "gif"}\n'
        '{"prompt": "g", "images": ["1", "2", "3", "4", "5", "6"]}\n'
        '{"prompt": "half \\ud83e"}\n'
        '{"prompt": "h", "key": ["k"]}\n',
    )
    first, *lines = told(file).split("\n")
    assert first == "“a.jsonl”: nothing was sent. 12 are wrong:"
    for line, (number, words) in zip(
        lines,
        [
            (2, "no sound JSON: Expecting value"),
            (5, "The prompt is empty"),
            (6, "there is no prompt; there is text."),
            (7, "a list is no prompt"),
            (8, "The prompt must be text, not int."),
            (9, "5,001 characters"),
            (10, "the key “owl” is that of line 4 already."),
            (11, "'16:10' is not an aspect ratio; use one of 1:1"),
            (None, "and 4 more"),
        ],
        strict=True,
    ):
        assert line.startswith("  and" if number is None else f"  line {number}: ")
        assert words in line
    rest = put("b.jsonl", "\n".join(file.read_text(encoding="utf-8").split("\n")[11:]))
    for words in ("'gif' is not an output format", "6 reference pictures", "half of a surrogate"):
        assert words in told(rest)
    assert "line 4: the key is a list; give text or a number." in told(rest)


def test_lines_of_a_table_are_those_of_the_file(put: PUT) -> None:
    """A cell of several lines, blank lines and broken quotes do not shift what comes after."""
    file = put(
        "a.csv",
        'prompt,id\n\n"a\nfox",x\nb,x\nc,d,e\n"an "owl"",y\n   ,z\n"never closed\nto the end\n',
    )
    lines = told(file).split("\n")
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "  line 5", "  line 6", "  line 7", "  line 8", "  line 9",
    ]  # fmt: skip
    assert "the key “x” is that of line 3 already" in lines[1]
    assert "3 cells below 2 names; put the prompt in double quotes" in lines[2]
    assert "its quotes do not add up" in lines[3]
    assert "The prompt is empty" in lines[4]
    assert "unexpected end of data" in lines[5]


def test_what_is_wrong_in_python_is_told_by_number_or_name() -> None:
    """Numbers are those that the results will have; a dict has names."""
    assert told(["a", None]) == "The list: nothing was sent. Number 1: there is no prompt."
    assert told({"fox": 7}, what="animals").startswith("animals: nothing was sent. “fox”: an int")
    assert "“1”: the key “1” is that of “1” already." in told({1: "a", "1": "b"})
    assert len(told([{"prompt": "a", "ratio": "x" * 5000}])) < 400


@pytest.mark.parametrize("given", [7, None, {"a", "b"}, b"ab", ImageRequest("a")])
def test_what_holds_no_prompts_in_an_order_is_refused(given: object) -> None:
    """Bytes are not a list of numbers, and a set would get other numbers each time."""
    assert "Give a list, a dict, a table or a file, not" in told(given)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", ""),
        ("a.csv", "prompt\n"),
        ("a.csv", "\n ;\n"),
        ("a.jsonl", "\n\n"),
        ("a.txt", "\ufeff"),
        ("a.json", "[]"),
    ],
)
def test_nothing_in_it_is_told(put: PUT, name: str, text: str) -> None:
    """A batch of nothing is a mistake, also where only the header is there."""
    assert told(put(name, text)) == f"“{name}”: nothing was sent. There is no prompt in it."


def test_a_file_that_is_not_there_is_told(put: PUT) -> None:
    """With the name that was meant, if a batch can have it; a prompt goes to nb.generate."""
    put("prompts.csv", "prompt\na\n")
    assert told("promts.csv").endswith("There is no such file. Did you mean prompts.csv?")
    put("nowhere.csv.bak", "prompt\na\n")
    assert told("nowhere.csv").endswith("There is no such file.")
    assert told("nowhere/at/all.csv").endswith("There is no such file.")
    assert told("~no-such-user/prompts.csv").endswith("There is no such file.")
    for prompt in ("a fox in the snow", "fox", "x" * 5000, "half \0 of it"):
        assert "If it is a prompt, nb.generate draws it" in told(prompt)
    assert "It is a folder; name a file in it." in told(".")
    assert "Files of a batch end in .jsonl, " in told(put("prompts.md", "a fox"))


def test_a_file_that_is_no_text_is_told(put: PUT) -> None:
    """Other encodings than UTF-8 and UTF-16 would arrive as other characters."""
    for name in ("a.txt", "a.csv", "a.jsonl", "a.json"):
        assert "not UTF-8 text; save it as UTF-8" in told(put(name, "prompt\nä\n", "latin-1"))
    assert "not a text file" in told(put("a.txt", "PK\3\4\0\0"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"a"\n"b"\n', "Extra data (line 2, column 1). With an object on each line it is a .jsonl"),
        ("7", "It holds an int, not a list or an object."),
        ("[" * 100_000, "no JSON that can be read"),
    ],
)
def test_a_json_file_that_holds_no_batch_is_told(put: PUT, text: str, words: str) -> None:
    """Not as a problem of each line, but of the file."""
    assert words in told(put("a.json", text))


def test_too_many_are_not_read_to_the_end() -> None:
    """After one more than a batch holds it is enough: the source may be endless."""
    source = map(str, itertools.count())
    assert "There are more than 100,000 prompts; split them." in told(source)
    assert next(source) == "100001"
    assert len(read(["a"] * module.MOST)) == module.MOST


def test_problems_found_later_are_told_the_same_way(put: PUT) -> None:
    """Entries know where they stand, so that a style that there is not has its line too."""
    entries = read(put("a.csv", 'prompt,id\n"a\nfox",fox\nb,owl\n'))
    module.raise_for([])
    with pytest.raises(RequestError, match=r"Nothing was sent\. Line 4: no style") as refused:
        module.raise_for([(entries[1], "no style")])
    assert "\n" not in str(refused.value)
    with pytest.raises(RequestError, match=r"2 are wrong:\n  line 2: x\n  line 4: y"):
        module.raise_for(list(zip(entries, "xy", strict=True)))
