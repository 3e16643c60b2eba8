"""What can be typed after `nanobanana`: its commands, their options, and help that teaches.

Each command has a parser of its own. A word that cannot be read is one line, with what was
probably meant.
"""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NoReturn, TypeVar, get_args

from . import models
from .exits import MEANINGS
from .keys import KEY_NAME, KEY_OPTIONS
from .rows import State

T = TypeVar("T")

STDIN: Final = "-"
"""In place of a prompt: it comes from standard input."""
SANDBOX_PORT: Final = 8722
LISTEN_PORT: Final = 8723
_LONG: Final = re.compile(r"--?[A-Za-z][\w-]*")


class UsageError(Exception):
    """The command line cannot be read; one line says how it is meant."""


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong, and leaves ending to its caller."""

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The options and words of a command. Raises `UsageError`."""
        chosen, rest = self.parse_known_args(list(words))
        if rest:
            self._refuse(rest[0])
        return chosen

    def error(self, message: str) -> NoReturn:
        """What argparse found wrong, as one line."""
        raise UsageError(f"{_sentence(message)} {self.prog} --help lists the options.")

    def _refuse(self, word: str) -> NoReturn:
        takes_prompt = any(action.dest == "prompt" for action in self._actions)
        if word.startswith("-"):
            name = word.partition("=")[0]
            if name.lower() in KEY_OPTIONS:
                self.error(f"{name} is not an option: set {KEY_NAME} instead.")
            near = difflib.get_close_matches(name, self._option_string_actions, 1, 0.5)
            meant = f" Did you mean {near[0]}?" if near else ""
            dashes = " If it begins the prompt, write -- before the prompt." if takes_prompt else ""
            self.error(f"{name} is not an option here.{meant}{dashes}")
        if takes_prompt:
            self.error(
                f"{word!r} is one word too many; put the prompt in quotes, such as "
                'nanobanana generate "a fox in watercolor".'
            )
        self.error(f"{word!r} is one word too many.")


def parser_of(command: str) -> Parser:
    """The parser of a command. Raises `UsageError`, naming the nearest, if there is none such."""
    if command in COMMANDS:
        return COMMANDS[command][1]()
    if command.startswith("-"):
        raise UsageError(
            f"{command} is not an option here; options come after the command, such as "
            "nanobanana history -n 5."
        )
    begun = [name for name in COMMANDS if len(command) > 2 and name.startswith(command)]
    if near := begun or difflib.get_close_matches(command, COMMANDS, 1):
        raise UsageError(f"There is no command {command!r}. Did you mean {near[0]}?")
    listed = ", ".join(COMMANDS)
    raise UsageError(
        f"There is no command {command!r}; there are {listed}. A prompt is drawn by "
        'nanobanana generate "a fox in watercolor".'
    )


def usage() -> str:
    """The help of `nanobanana` itself."""
    listed = "\n".join(f"  {name:<10}{about}" for name, (about, _) in COMMANDS.items())
    codes = "\n".join(f"  {code:<5}{meaning}" for code, meaning in MEANINGS.items())
    return _USAGE.format(commands=listed, codes=codes)


_USAGE: Final = """\
usage: nanobanana COMMAND [options]

Draw pictures from a prompt with APIXO's Nano Banana API. A picture costs $0.03
and takes 15 to 20 seconds. What was sent stands in a ledger, shared with your
notebooks: nothing that was paid for is lost.

commands:
{commands}

examples:
  export APIXO_API_KEY=...                       the key, from https://apixo.ai
  nanobanana generate "a fox in watercolor"      draws it, prints its path
  nanobanana generate "a fox" -n 4 -s foxes/     four of them, into a folder
  export NANOBANANA_SANDBOX=always               from here on offline and free
  nanobanana history fox                         what was drawn, newest first
  nanobanana doctor                              what is set up, and what is not

exit codes:
{codes}

With --json a command prints one JSON document, also where it fails.
nanobanana COMMAND --help tells more, nanobanana --version which one this is.
"""


def _generate() -> Parser:
    parser = _parser(
        "generate",
        "Draw a picture ($0.03) and wait for it. The path of each picture is printed on standard "
        "output, a line for each; progress, price and errors go to standard error, so that "
        'open $(nanobanana generate "a fox") works. Ctrl-C ends the waiting, not the task.',
        """\
examples:
  nanobanana generate "a lighthouse at sunrise, is anybody home?" -a 16:9
  nanobanana generate "the same at night" -i last -s night.jpg
  nanobanana generate - < prompt.txt
  nanobanana generate --json "a fox" | jq -r '.generations[0].url'

Next: nanobanana history shows it again, nanobanana resume brings what was left.
""",
        " PROMPT",
    )
    parser.add_argument_group("what to draw").add_argument(
        "prompt",
        nargs="?",
        metavar="PROMPT",
        help="what to draw, in quotes; it is sent exactly as given. - reads it from standard "
        "input. Before one that begins with -, write --",
    )
    picture = parser.add_argument_group("the picture")
    picture.add_argument(
        "-a",
        "--aspect-ratio",
        metavar="RATIO",
        type=_one_of("aspect ratio", models.ASPECT_RATIOS),
        help=f"{', '.join(models.ASPECT_RATIOS)}; default: 1:1, or auto with -i",
    )
    picture.add_argument(
        "-f",
        "--format",
        metavar="FORMAT",
        type=_one_of("output format", models.OUTPUT_FORMATS),
        help="png or jpeg; default: png",
    )
    picture.add_argument(
        "-i",
        "--image",
        metavar="IMAGE",
        action="append",
        default=[],
        help="a picture to go by: a link, a file, or last, the one drawn before; "
        f"up to {models.MAX_IMAGES}, in their order",
    )
    picture.add_argument(
        "--style", metavar="NAMES", default="", help="in a style, such as ink or ink,night"
    )
    picture.add_argument(
        "-n", "--count", metavar="N", type=_whole(1), default=1, help="how many; default: 1"
    )
    picture.add_argument(
        "-s",
        "--save",
        metavar="PATH",
        help="also save a copy, and print its path: a folder (foxes/ is made), or a file that ends "
        "in .png, .jpg, .jpeg or .webp (fox-1.png, fox-2.png, ... for several)",
    )
    money = parser.add_argument_group("money and time")
    money.add_argument(
        "--retries",
        metavar="N",
        type=_whole(0, models.MAX_RETRIES),
        help="draw again, each time at its price, up to N times if the model fails; default: 0",
    )
    money.add_argument("--yes", action="store_true", help="send more than 20 at once")
    money.add_argument(
        "--dry-run", action="store_true", help="print what would be sent, and send nothing"
    )
    _add_deadline(money)
    output = parser.add_argument_group("output")
    output.add_argument(
        "-q", "--quiet", action="store_true", help="no progress and no price, only paths and errors"
    )
    _add_json(output)
    return parser


def _history() -> Parser:
    parser = _parser(
        "history",
        "Show what was drawn here, newest first, in notebooks too: date, state, id, ratio, prompt "
        "and path. Asks nobody and needs no key. Into a pipe each entry is one line, with tabs "
        "between its columns and nothing cut.",
        """\
examples:
  nanobanana history fox
  nanobanana history --since 2026-11-01 --starred
  nanobanana history --state unknown     what may have been billed for nothing
  nanobanana history -n 0 | cut -f 6     the path of every picture

Next: nanobanana resume brings what is not on disk yet.
""",
        " [WORDS]",
    )
    which = parser.add_argument_group("which of them")
    which.add_argument(
        "words", nargs="*", metavar="WORDS", help="only where all of them stand in prompt or note"
    )
    which.add_argument(
        "--since", metavar="DATE", type=_moment, help="from this day on, such as 2026-11-22"
    )
    which.add_argument(
        "--state",
        metavar="STATE",
        type=_one_of("state", get_args(State)),
        help="only stored, failed, unknown (may have been billed), parked (still being drawn), ...",
    )
    which.add_argument("--starred", action="store_true", help="only what was starred")
    which.add_argument(
        "-n", "--count", metavar="N", type=_whole(0), default=20, help="default: 20; 0 shows all"
    )
    _add_json(parser.add_argument_group("output"))
    return parser


def _resume() -> Parser:
    parser = _parser(
        "resume",
        "Wait for tasks that were sent and paid for and are not on disk yet, and print the paths "
        "of their pictures. Nothing is sent and nothing is billed.",
        """\
examples:
  nanobanana resume
  nanobanana resume 0123456789abcdef0123456789abcdef

Next: nanobanana history --state unknown lists what may have been billed for
nothing.
""",
        " [ID]",
    )
    parser.add_argument_group("which of them").add_argument(
        "task_id",
        nargs="?",
        metavar="ID",
        help="one task, also one of another machine with the same key; without it: all",
    )
    _add_deadline(parser.add_argument_group("time"))
    output = parser.add_argument_group("output")
    output.add_argument(
        "-q", "--quiet", action="store_true", help="no progress and no price, only paths and errors"
    )
    _add_json(output)
    return parser


def _balance() -> Parser:
    parser = _parser(
        "balance",
        "Show the US dollars that are left for the key, what was spent from here, what is in "
        "doubt, and whether all of it agrees.",
        """\
examples:
  nanobanana balance
  nanobanana balance --json | jq -r .balance

Next: nanobanana doctor says how many pictures that is today.
""",
    )
    _add_json(parser.add_argument_group("output"))
    return parser


def _doctor() -> Parser:
    parser = _parser(
        "doctor",
        "Say what is configured, what is reachable, what is pending and what it would cost. Each "
        "line is marked ok, note or wrong, and says what to do about it. Costs nothing, takes 10 "
        "seconds at most, and never shows the key. Ends with 1 if something is wrong.",
        """\
examples:
  nanobanana doctor
  nanobanana doctor --offline
  nanobanana doctor --json | jq '.checks[] | select(.mark == "wrong")'

Next: nanobanana generate "a fox in watercolor"
""",
    )
    what = parser.add_argument_group("what is looked at")
    what.add_argument("--offline", action="store_true", help="ask nobody on the network")
    _add_json(parser.add_argument_group("output"))
    return parser


def _rebuild() -> Parser:
    parser = _parser(
        "rebuild",
        "Make the ledger anew from the JSON files that lie with the pictures, where it is lost or "
        "damaged. A damaged one is kept beside the new one; a sound one loses nothing.",
        """\
examples:
  nanobanana rebuild
  NANOBANANA_HOME=/mnt/backup nanobanana rebuild

Next: nanobanana history shows what was found; nanobanana resume ID finds a task
that was still under way, by the id that the API gave it.
""",
    )
    _add_json(parser.add_argument_group("output"))
    return parser


def _sandbox() -> Parser:
    parser = _parser(
        "sandbox",
        "Serve an offline imitation of the API on this machine, for any client, until Ctrl-C. "
        "Clients are pointed at it with APIXO_BASE_URL; it takes any key, draws placeholders, and "
        "can fail in all the ways in which the API can.",
        """\
examples:
  nanobanana sandbox
  nanobanana sandbox --latency 15 --at-once 3 --rate 60 --count-polls
  nanobanana sandbox --faults 0.05 --seed 7

Next, in another terminal: the line that it prints, then
nanobanana generate "a fox". A prompt with [sandbox 429] in it fails on purpose;
the page at its address tells more.
""",
    )
    place = parser.add_argument_group("where")
    place.add_argument(
        "--port",
        type=int,
        default=SANDBOX_PORT,
        help=f"default: {SANDBOX_PORT}; 0 takes a free one",
    )
    account = parser.add_argument_group("the account")
    account.add_argument(
        "--balance", type=float, metavar="DOLLARS", help="to begin with; default: 10"
    )
    account.add_argument("--at-once", type=int, metavar="N", help="tasks under way at a time")
    account.add_argument("--rate", type=float, metavar="N", help="requests a minute")
    account.add_argument(
        "--count-polls", action="store_true", default=None, help="--rate counts polls too"
    )
    ways = parser.add_argument_group("how it behaves")
    ways.add_argument(
        "--latency",
        type=_seconds(),
        metavar="SECONDS",
        help="for a picture; default: 2 (the real API takes 15 to 20)",
    )
    ways.add_argument(
        "--faults", type=float, metavar="RATE", help="share of submits that go wrong, from 0 to 1"
    )
    ways.add_argument("--seed", type=int, metavar="N", help="the same seed, the same faults")
    ways.add_argument(
        "--callback-retry",
        type=_seconds(),
        metavar="SECONDS",
        help="until a callback is delivered again; default: 30",
    )
    ways.add_argument(
        "--link-lifetime",
        type=_seconds(days=366),
        metavar="SECONDS",
        help="how long links to pictures work; default: 86400, a day",
    )
    _add_json(parser.add_argument_group("output"), "print {url} as JSON, once it listens")
    return parser


def _listen() -> Parser:
    parser = _parser(
        "listen",
        "Receive the API's callbacks for this home, until Ctrl-C: tasks that were sent with "
        "NANOBANANA_CALLBACK_URL set are then known to be done without asking, and a submit whose "
        "answer got lost is found again. The API calls a public https address; how it leads here "
        "is yours to say.",
        """\
examples:
  cloudflared tunnel --url http://127.0.0.1:8723     names a public address
  nanobanana listen --public-url https://NAME.trycloudflare.com
  nanobanana listen --port 9000

Next: the line that it prints, where you draw, with the same NANOBANANA_HOME;
nanobanana doctor says whether the address leads here.
""",
    )
    place = parser.add_argument_group("where")
    place.add_argument(
        "--port", type=int, default=LISTEN_PORT, help=f"default: {LISTEN_PORT}; 0 takes a free one"
    )
    place.add_argument(
        "--host",
        default="127.0.0.1",
        help="default: 127.0.0.1, this machine only; with another one anybody there can reach it",
    )
    place.add_argument(
        "--public-url", metavar="URL", default="", help="the public https address that leads here"
    )
    _add_json(parser.add_argument_group("output"), "print {url, callback_url} as JSON, once")
    return parser


COMMANDS: Final[dict[str, tuple[str, Callable[[], Parser]]]] = {
    "generate": ("draw a picture from a prompt, and print its path", _generate),
    "history": ("what was drawn, newest first", _history),
    "resume": ("wait for what was sent and is not on disk yet; sends nothing", _resume),
    "balance": ("the balance, what was spent, and whether they agree", _balance),
    "doctor": ("what is configured, reachable and pending, and what it would cost", _doctor),
    "rebuild": ("make the ledger anew from what lies with the pictures", _rebuild),
    "sandbox": ("serve an offline imitation of the API on this machine", _sandbox),
    "listen": ("receive the API's callbacks instead of asking", _listen),
}
"""Each command with a line about it, and what makes its parser."""


def _parser(command: str, about: str, examples: str, words: str = "") -> Parser:
    parser = Parser(
        prog=f"nanobanana {command}",
        usage=f"nanobanana {command} [options]{words}",
        description=_wrapped(about),
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.set_defaults(command=command, json=False, quiet=False)
    return parser


def _add_json(group: argparse._ArgumentGroup, about: str = "print one JSON document") -> None:
    group.add_argument("--json", action="store_true", help=about)
    group.add_argument("-h", "--help", action="store_true", help="show this help")


def _add_deadline(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--deadline",
        metavar="SECONDS",
        type=_seconds(),
        help="wait no longer for a picture; the task goes on, and resume brings it; default: 900",
    )


def _wrapped(text: str, width: int = 78) -> str:
    """The text in lines that fit a terminal of 80 columns; commands stay whole."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if len(longer) <= width else [*lines, word]
    return "\n".join(lines)


def _one_of(what: str, names: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            near = difflib.get_close_matches(text, names, 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise argparse.ArgumentTypeError(
                f"{text!r} is not an {what}; use one of {', '.join(names)}.{meant}"
                if what[0] in "aeiou"
                else f"{text!r} is not a {what}; use one of {', '.join(names)}.{meant}"
            )
        return text

    return read


def _whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text) if re.fullmatch(r"\d{1,9}", text) else -1
        if not least <= number <= most:
            to = f"{least} or more" if most == math.inf else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {to}.")
        return number

    return read


def _seconds(days: int = 1) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < 86_400 * days:
            span = "a day" if days == 1 else f"{days} days"
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, up to {span}.")
        return seconds

    return read


def _moment(text: str) -> float:
    """Unix time of a date or a time; without a zone it is local."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a date; give one such as 2026-11-22."
        ) from None


def _sentence(message: str) -> str:
    """A message of argparse with a capital and a full stop; options by their last name alone."""
    told = re.sub(r"^argument (\S+/)*(\S+): ", r"\2: ", message)
    told = told if _LONG.match(told) else f"{told[:1].upper()}{told[1:]}"
    return told if told.endswith((".", "?")) else f"{told}."
