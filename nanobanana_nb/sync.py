"""The module-level verbs: the studio's own, blocking, on one default studio made on first use."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, Unpack, overload

from . import plans, schema, screen
from .archive import History
from .batches import Batch
from .errors import ConfigError, NanoBananaError
from .grids import Grid
from .keys import KEY_NAME, Secret, in_colab
from .results import Gallery, Generation
from .screen import Screen
from .settings import Settings
from .studio import Options, Studio, check_options
from .stylebook import StyleBook

_default: Studio | None = None
_used = False
_told = ""


def default_studio(*, news: bool = True) -> Studio:
    """The studio behind the module-level verbs and the magics.

    Says once if it is a sandbox and why, and with `news` what came back in the background.
    """
    global _used, _told
    studio = current_studio()
    _used = True
    notice = studio.sandbox_notice
    if notice and notice != _told:
        screen.say(notice, notice=True)
    _told = notice
    if news and (came_back := studio.news()):
        screen.say(came_back)
    return studio


def recover() -> None:
    """Bring home in the background what an ended kernel left behind, without a word for now.

    A setting that is wrong is told at the first use; Colab, which asks people before it gives out
    a key, is left in peace until then.
    """
    if not in_colab():
        with contextlib.suppress(NanoBananaError):
            # Without a key, because to look for one may open the dialogue of a keyring.
            if schema.anything_left(Settings.load(api_key=None).ledger):
                current_studio().recover()


def current_studio() -> Studio:
    """The default studio, without a word; a new one where the key was set after the extension was
    loaded, or after the sandbox has told how to set it, or where an error has told what to set."""
    global _default
    if _default is None:
        _default = Studio()
        return _default
    known = _default.settings
    again = _default.sandboxed or not _used
    settings = known.loaded_again() if again else known.refreshed()
    if settings != known:
        _default = _heir(settings)
    else:
        _default.settings = settings  # with what the sources of the key say by now
    return _default


def is_current(studio: Studio) -> bool:
    """Whether this is the default studio still; looks at no setting."""
    return studio is _default


def _heir(settings: Settings) -> Studio:
    """A new studio that goes on from the one before it: its last picture, and its budget, which
    may have been set since."""
    studio = Studio(settings)
    if _default is not None:
        studio.last = _default.last
        if _default.budget != _default.settings.budget:
            studio.budget = _default.budget
    return studio


def set_budget(dollars: float | None) -> None:
    """A new budget for the default studio, in US dollars a day."""
    current_studio().budget = Decimal(str(dollars)) if dollars is not None else None


@overload
def generate(prompt: str, *, count: Literal[1] = 1, **options: Unpack[Options]) -> Generation: ...


@overload
def generate(prompt: str, *, count: int, **options: Unpack[Options]) -> Generation | Gallery: ...


def generate(prompt: str, *, count: int = 1, **options: Unpack[Options]) -> Generation | Gallery:
    """Draw a picture ($0.03) and wait for it, usually 15-20 s; see `Studio.generate`."""
    studio = default_studio()
    return studio.wait(studio.generate(prompt, count=count, **options))


def edit(
    reference: Any, prompt: str, *, count: int = 1, **options: Unpack[Options]
) -> Generation | Gallery:
    """A picture made from another one, or from a list of up to five; see `Studio.edit`."""
    studio = default_studio()
    return studio.wait(studio.edit(reference, prompt, count=count, **options))


def grid(
    prompts: str | Sequence[str],
    /,
    *,
    count: int = 1,
    new: bool = False,
    task_retries: int | None = None,
    confirm: bool = False,
    **axes: Any,
) -> Grid:
    """A picture for every combination: `nb.grid("a {animal}", animal=["fox", "owl"])`.

    Says how many pictures that are, and their price, before it sends anything; see `Studio.grid`.
    """
    studio, plan = default_studio(), plans.plan(prompts, axes, count)
    options = Options(new=new, task_retries=task_retries, confirm=confirm)
    check_options(options)
    for line in (*plan.remarks, studio.priced(plan, task_retries, confirm=confirm)):
        screen.say(line)
    return studio.wait(studio.draw(plan, **options))


def batch(
    requests: Any,
    *,
    key: str | None = None,
    column: str = "",
    **options: Unpack[Options],
) -> Batch:
    """A picture for each of many requests, shown as they land: a file, a list, a dict, a column.

    Says how many are to be drawn, and their price, before it sends anything; asked again it goes on
    where it stopped. See `Studio.batch`.
    """
    studio = default_studio()
    planning = studio.planned(requests, key=key, column=column, **options)
    plan = studio.wait(planning, on=Screen(quiet=True))
    screen.say(plan.text)
    return studio.wait(studio.batch(plan, **options))


def styles() -> StyleBook:
    """The styles that `style="ink"` and `--style ink` take, each with pictures drawn in it."""
    studio = default_studio()
    return studio.wait(studio.styles())


def vary(generation: Generation, count: int = 4, *, new: bool = False) -> Gallery:
    """The same request `count` times more; see `Studio.vary`."""
    studio = default_studio()
    return studio.wait(studio.vary(generation, count, new=new))


def resume(task_id: str | None = None) -> Gallery:
    """Wait for accepted tasks that are not on disk yet; nothing is submitted."""
    studio = default_studio(news=False)
    return studio.wait(studio.resume(task_id))


def history(
    words: str = "",
    *,
    since: datetime | date | str | None = None,
    state: str | Sequence[str] = (),
    starred: bool | None = None,
) -> History:
    """Everything that was drawn here and matches, newest first; see `Studio.history`."""
    studio = default_studio()
    return studio.wait(studio.history(words, since=since, state=state, starred=starred))


def balance() -> Decimal:
    """US dollars left for this key."""
    studio = default_studio()
    return studio.wait(studio.balance())


def login() -> None:
    """Ask for the API key and keep it for this kernel only; it is stored nowhere."""
    global _default, _used
    _default = _heir(Settings.load(api_key=_typed()))
    _used = True  # so that the key that was given here is not looked for elsewhere again
    screen.say("The key is kept for this kernel.")


def _typed() -> Secret:
    try:
        return Secret(getpass.getpass("APIXO API key: ").strip())
    except (EOFError, OSError, NotImplementedError):
        raise ConfigError(
            "nb.login() asks for the key, and here nobody can answer (as in nbconvert, papermill, "
            f"or a script without a terminal). Set the environment variable {KEY_NAME} instead."
        ) from None
