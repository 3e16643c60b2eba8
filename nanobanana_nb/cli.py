"""The `nanobanana` command: reads what was typed, has it done, says what came of it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeVar

from . import (
    accounting,
    arguments,
    doctor,
    exits,
    links,
    pictures,
    plans,
    protocol,
    recalling,
    sandbox,
    telling,
    webhook,
)
from .arguments import UsageError
from .errors import ConfigError, NanoBananaError, RequestError, Stopped
from .exits import Exit
from .keys import KEY_NAME
from .models import PRICE
from .portal import Portal
from .rebuilding import rebuild
from .results import Gallery, Picture, short_path
from .screen import Screen
from .settings import Settings
from .studio import Options, Studio
from .voice import Voice, prepare_streams
from .workshop import home_of, is_sandboxed, key_of

T = TypeVar("T")

_COLOURS: Final = {"  ok": "\x1b[32m", "  note": "\x1b[33m", "  wrong": "\x1b[31m"}
_SANDBOX_FLAGS: Final = (
    "port", "latency", "balance", "at_once", "rate", "count_polls", "faults", "seed",
    "callback_retry", "link_lifetime",
)  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code, as `exits.MEANINGS` has them."""
    prepare_streams()
    given = list(sys.argv[1:] if words is None else words)
    voice = Voice(as_json="--json" in given)
    try:
        return _run(given, voice)
    except UsageError as error:
        return _failed(voice, error, Exit.USAGE)
    except (NanoBananaError, KeyboardInterrupt, OSError) as error:
        return _failed(voice, error, exits.of_error(error))


def _run(given: Sequence[str], voice: Voice) -> Exit:
    if not given or given[0] in ("-h", "--help", "help"):
        voice.text(arguments.usage())
        return Exit.DONE
    if given[0] == "--version":
        voice.line(f"nanobanana-nb {version('nanobanana-nb')}, Python {platform.python_version()}")
        return Exit.DONE
    parser = arguments.parser_of(given[0])
    chosen = parser.read(given[1:])
    if chosen.help:
        voice.text(parser.format_help())
        return Exit.DONE
    voice.quiet = chosen.quiet
    return _COMMANDS[given[0]](chosen, voice)


def _failed(voice: Voice, error: BaseException, code: Exit) -> Exit:
    """Say what ended the command: a line for people, and for a program a document."""
    with suppress(OSError):
        voice.warn(telling.error_line(error))
        if voice.as_json:
            voice.document({"error": telling.error_document(error)})
    return code


def _generate(chosen: Any, voice: Voice) -> Exit:
    prompt = _prompt(chosen.prompt, voice)
    settings = _settings(chosen)
    if chosen.save:
        _check_target(chosen.save)
    options = _options(chosen, settings)
    with _studio(settings) as studio:
        if chosen.dry_run:
            return _show_what_would_be_sent(studio, prompt, options, chosen.count, voice)
        _check_key(settings)
        if studio.sandboxed:
            voice.tell("The sandbox draws placeholders, offline and free of charge.")
        drawn = _waited(studio, studio.gallery(prompt, count=chosen.count, **options), voice)
        return _say_what_was_drawn(studio, drawn, chosen.save, voice)


def _prompt(given: str | None, voice: Voice) -> str:
    """The prompt as it was given; from standard input without the newline that ends it."""
    if given == arguments.STDIN:
        if sys.stdin is None:
            raise UsageError("Standard input is closed, so there is no prompt on it.")
        if sys.stdin.isatty():
            voice.tell("Type the prompt; Ctrl-D on a line of its own ends it.")
        try:
            given = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"Standard input is not UTF-8 text (at byte {error.start + 1}), so nothing was "
                "sent; convert it first, such as with iconv."
            ) from None
        given = given.removesuffix("\n").removesuffix("\r")
    if given is None or not given.strip():
        what = "The prompt is empty" if given is not None else "There is no prompt"
        raise UsageError(
            f'{what}; say what to draw, such as nanobanana generate "a fox in watercolor". '
            "- reads the prompt from standard input; before one that begins with -, write --."
        )
    return given


def _settings(chosen: Any) -> Settings:
    given = {} if chosen.deadline is None else {"deadline": chosen.deadline}
    return Settings.load(**given)


def _options(chosen: Any, settings: Settings) -> Options:
    """The options of the command as those of the studio. Raises `RequestError` for no `last`."""
    last = _latest(settings) if "last" in chosen.image else None
    return Options(
        aspect_ratio=chosen.aspect_ratio or "",
        output_format=chosen.format or "",
        image_urls=[last if one == "last" else one for one in chosen.image],
        style=chosen.style,
        task_retries=chosen.retries,
        confirm=chosen.yes,
    )


def _latest(settings: Settings) -> Any:
    found = _awaited(recalling.latest(home_of(settings)))
    if found is None:
        raise RequestError("Nothing was drawn here yet, so there is no last picture to go by.")
    return found


def _check_target(target: str) -> None:
    """Raises `RequestError` where nothing can be saved; a folder named as such is made."""
    if target.endswith(("/", os.sep)):
        pictures.folder_for(target)
    pictures.check_target(target)


def _check_key(settings: Settings) -> None:
    """Raises `ConfigError` where a key is needed and there is none."""
    if key_of(settings) is None and not is_sandboxed(settings):
        told = (
            f"There is no API key. Set the environment variable {KEY_NAME} (a key is had at "
            "https://apixo.ai), or NANOBANANA_SANDBOX=always to draw placeholders offline, free "
            "of charge."
        )
        raise ConfigError(" ".join([told, *map(str, settings.found.remarks)]))


def _show_what_would_be_sent(
    studio: Studio, prompt: str, options: Options, count: int, voice: Voice
) -> Exit:
    """The body that would be posted and what it would cost; a local reference by its name."""
    [wanted] = studio.requests_of(plans.single(prompt), options)
    body = protocol.submit_body(wanted.request)
    if wanted.given:
        urls = [one if isinstance(one, str) else f"(link to {one.path})" for one in wanted.given]
        body["input"] |= {"mode": "image-to-image", "image_urls": urls}
    if voice.as_json:
        cost = telling.dollars(PRICE * count)
        voice.document({"request": body, "count": count, "cost": cost})
    else:
        voice.document(body, readable=True)
        voice.tell(telling.price_line(count))
    return Exit.DONE


def _say_what_was_drawn(studio: Studio, drawn: Gallery, target: str | None, voice: Voice) -> Exit:
    """The paths of the pictures, what they cost, and why others are not there."""
    code = exits.of_all(drawn)
    saved: dict[Picture, Path] = {}
    try:
        if target is not None:
            for picture, path in _targets(drawn, target):
                saved[picture] = picture.save(path)
    except NanoBananaError as error:  # what is drawn is there all the same, and is told
        voice.warn(telling.error_line(error))
        code = code or Exit.FAILED
    for picture in drawn.images:
        voice.path(saved.get(picture, picture.path))
    if voice.as_json:
        voice.document(telling.all_of(drawn, saved))
    for line in telling.troubles(drawn):
        voice.warn(line)
    if drawn.images or drawn.cost:
        voice.tell(telling.summary(drawn))
    if news := studio.news():
        voice.tell(telling.here(news))
    return code


def _targets(drawn: Gallery, target: str) -> Iterator[tuple[Picture, Path]]:
    """Where each copy goes: under the name, numbered if there are several, or into the folder."""
    path = pictures.check_target(target)
    several = len(drawn.images) > 1 and not path.is_dir()
    for number, picture in enumerate(drawn.images, 1):
        yield picture, path.with_stem(f"{path.stem}-{number}") if several else path


def _history(chosen: Any, voice: Voice) -> Exit:
    settings = Settings.load()
    found = _awaited(
        recalling.history(
            home_of(settings),
            " ".join(chosen.words),
            since=chosen.since,
            states=[chosen.state] if chosen.state else [],
            starred=True if chosen.starred else None,
            sandbox=is_sandboxed(settings),
        )
    )
    shown = found[: chosen.count] if chosen.count else found
    if voice.as_json:
        listed = [telling.document(one) for one in shown]
        voice.document({"generations": listed, "total": len(found)})
    elif not found:
        voice.tell(_nothing(chosen))
    else:
        _list(shown, voice)
        if len(found) > len(shown):
            voice.tell(f"{len(shown)} of {len(found):,}; -n 0 shows all.")
    return Exit.DONE


def _nothing(chosen: Any) -> str:
    if chosen.words or chosen.since or chosen.state or chosen.starred:
        return "Nothing in the history matches that; nanobanana history shows the latest."
    return 'Nothing was drawn yet. Try: nanobanana generate "a fox in watercolor"'


def _list(shown: Sequence[Any], voice: Voice) -> None:
    """Two lines for each in a terminal; a row of columns for each elsewhere."""
    columns = shutil.get_terminal_size().columns
    on_screen = sys.stdout.isatty()
    for one in shown:
        for line in telling.listed(one, columns) if on_screen else [telling.row(one)]:
            voice.line(line)


def _resume(chosen: Any, voice: Voice) -> Exit:
    settings = _settings(chosen)
    _check_key(settings)
    with _studio(settings) as studio:
        drawn = _waited(studio, studio.resume(chosen.task_id), voice)
        if not drawn:
            voice.tell("Nothing is under way; every accepted task is on disk.")
        if doubtful := studio.wait(studio.spending(), on=Screen(quiet=True)).unknown:
            voice.tell(telling.here(accounting.in_doubt(doubtful)))
        return _say_what_was_drawn(studio, drawn, None, voice)


def _balance(_: Any, voice: Voice) -> Exit:
    settings = Settings.load()
    _check_key(settings)
    with _studio(settings) as studio:
        report = studio.wait(studio.account())
        spent = studio.wait(studio.spending())
        if voice.as_json:
            voice.document(telling.account_document(report, spent, studio.budget))
        else:
            for line in telling.account_lines(report):
                voice.line(line)
    return Exit.DONE


def _rebuild(_: Any, voice: Voice) -> Exit:
    home = home_of(Settings.load())
    home.check_writable()
    done = _awaited(rebuild(home.ledger, [home.pictures, home.home / "rescued"]))
    if voice.as_json:
        broken = [{"path": str(one.file), "why": one.why} for one in done.broken]
        damaged = None if done.damaged is None else str(done.damaged)
        found = {"added": done.added, "known": done.known, "damaged": damaged, "broken": broken}
        voice.document(found)
        return Exit.DONE
    if done.damaged:
        voice.line(f"The damaged ledger is kept as {done.damaged}.")
    voice.line(f"{done.added} tasks added, {done.known} known already.")
    for one in done.broken:
        voice.line(f"Left out: {one.file} ({one.why})")
    return Exit.DONE


def _doctor(chosen: Any, voice: Voice) -> Exit:
    checks = _awaited(doctor.examine(offline=chosen.offline))
    if voice.as_json:
        voice.document(doctor.document(checks))
    else:
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for line in doctor.lines(checks):
            colour = next((c for mark, c in _COLOURS.items() if line.startswith(mark)), "")
            voice.line(line, colour if coloured else "")
    return Exit.FAILED if any(check.mark == "wrong" for check in checks) else Exit.DONE


def _sandbox(chosen: Any, voice: Voice) -> Exit:
    flags = {name: getattr(chosen, name) for name in _SANDBOX_FLAGS}
    try:
        made = sandbox.Sandbox(**{name: one for name, one in flags.items() if one is not None})
        running = made.start()
    except ValueError as error:
        return _failed(voice, ConfigError(f"{error}."), Exit.FAILED)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        told = f"Port {chosen.port} cannot be had ({why}); give another, or 0 for a free one."
        return _failed(voice, ConfigError(told), Exit.FAILED)
    with running:
        if voice.as_json:
            voice.document({"url": running.url})
        else:
            voice.line(f"The sandbox is at {running.url} (Ctrl-C ends it); its page is there too.")
            voice.line("In another terminal:")
            voice.line(f"  export APIXO_BASE_URL={running.url} APIXO_API_KEY=sandbox")
        running.serve_forever()
    return Exit.DONE


def _listen(chosen: Any, voice: Voice) -> Exit:
    settings = Settings.load()
    if chosen.public_url:
        settings = _called_at(settings, chosen.public_url)
    home = home_of(settings)
    home.check_writable()
    if not links.is_loopback(chosen.host):
        voice.warn(
            f"Warning: {chosen.host} can be reached by anybody on that network; put a server "
            "that speaks https in front of it."
        )

    def ready(url: str) -> None:
        _say_how_to_be_called(url, settings if chosen.public_url else None, home, voice)

    webhook.serve(home, host=chosen.host, port=chosen.port, ready=ready)
    return Exit.DONE


def _called_at(settings: Settings, url: str) -> Settings:
    try:
        return replace(settings, callback_url=url)
    except ConfigError as error:
        _, _, why = str(error).partition(": ")
        raise UsageError(f"--public-url cannot be used: {why}") from None


def _say_how_to_be_called(url: str, public: Settings | None, home: Settings, voice: Voice) -> None:
    """Where the receiver listens, for whom, and what to set so that the API calls it."""
    if voice.as_json:
        found = {"url": url, "callback_url": public.callback_url if public else None}
        voice.document({**found, "home": str(home.home)})
        return
    voice.line(f"Listening at {url} for {short_path(home.home)} (Ctrl-C ends it).")
    if public is not None:
        voice.line("Where you draw, with the same home:")
        voice.line(f"  export NANOBANANA_CALLBACK_URL={public.callback_url}")
        return
    voice.line("The API calls public https addresses only. One that leads here for a while:")
    voice.line(f"  cloudflared tunnel --url {url}")
    voice.line("Where you draw, with the same home, and the address that it names:")
    voice.line("  export NANOBANANA_CALLBACK_URL=https://NAME.trycloudflare.com")
    voice.line("For a sandbox on this machine this address does:")
    voice.line(f"  export NANOBANANA_CALLBACK_URL={url}")


def _waited(studio: Studio, drawing: Coroutine[Any, Any, T], voice: Voice) -> T:
    """Block for what is drawn, showing its progress; when stopped, say what goes on without us.

    That is looked up once the studio has ended: until then the answer to a submit may come.
    """
    live = Screen(quiet=voice.quiet)
    try:
        result = studio.wait(drawing, on=live)
    except Stopped:
        studio.close()
        if studio.sandboxed:
            raise Stopped("The sandbox has ended; nothing was lost but time.") from None
        ids = [item.id for item in live.latest.items if item.id] if live.latest else []
        found = _awaited(recalling.those(home_of(studio.settings), ids))
        raise Stopped(telling.what_goes_on(found)) from None
    live.clear()
    return result


@contextmanager
def _studio(settings: Settings) -> Iterator[Studio]:
    studio = Studio(settings)
    try:
        yield studio
    finally:
        studio.close()


def _awaited(coroutine: Coroutine[Any, Any, T]) -> T:
    """Block for a coroutine that needs no studio."""
    portal = Portal()
    try:
        return portal.wait(coroutine)
    finally:
        portal.close()


_COMMANDS: Final[dict[str, Callable[[Any, Voice], Exit]]] = {
    "generate": _generate,
    "history": _history,
    "resume": _resume,
    "balance": _balance,
    "doctor": _doctor,
    "rebuild": _rebuild,
    "sandbox": _sandbox,
    "listen": _listen,
}
