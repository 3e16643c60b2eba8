"""Draw and edit pictures from a prompt inside a notebook.

    import nanobanana_nb as nb
    fox = nb.generate("a fox in watercolor", aspect_ratio="16:9")

    %load_ext nanobanana_nb
    %nanobanana a fox in watercolor

Names are imported on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .archive import History as History
    from .batches import Batch as Batch
    from .client import Client as Client
    from .comparing import Comparison as Comparison
    from .comparing import compare as compare
    from .errors import AccessDenied as AccessDenied
    from .errors import APIError as APIError
    from .errors import BalanceTooLow as BalanceTooLow
    from .errors import BudgetReached as BudgetReached
    from .errors import ConfigError as ConfigError
    from .errors import ContentRefused as ContentRefused
    from .errors import DownloadError as DownloadError
    from .errors import KeyRefused as KeyRefused
    from .errors import LeaseLost as LeaseLost
    from .errors import LedgerError as LedgerError
    from .errors import NanoBananaError as NanoBananaError
    from .errors import RateLimited as RateLimited
    from .errors import RequestError as RequestError
    from .errors import ServerError as ServerError
    from .errors import Stopped as Stopped
    from .errors import SubmitUnknown as SubmitUnknown
    from .errors import TaskFailed as TaskFailed
    from .errors import TaskNotFound as TaskNotFound
    from .errors import TransportError as TransportError
    from .errors import WaitTimeout as WaitTimeout
    from .grids import Grid as Grid
    from .models import ImageRequest as ImageRequest
    from .nest import allow_asyncio_run as allow_asyncio_run
    from .pacing import Schedule as Schedule
    from .panel import Panel as Panel
    from .recipes import Recipe as Recipe
    from .recipes import load as load
    from .results import Gallery as Gallery
    from .results import Generation as Generation
    from .results import Picture as Picture
    from .sandbox import Sandbox as Sandbox
    from .settings import Settings as Settings
    from .studio import Studio as Studio
    from .sync import balance as balance
    from .sync import batch as batch
    from .sync import edit as edit
    from .sync import generate as generate
    from .sync import grid as grid
    from .sync import history as history
    from .sync import login as login
    from .sync import resume as resume
    from .sync import styles as styles
    from .sync import vary as vary

_ERRORS = (
    "APIError", "AccessDenied", "BalanceTooLow", "BudgetReached", "ConfigError", "ContentRefused",
    "DownloadError", "KeyRefused", "LeaseLost", "LedgerError", "NanoBananaError", "RateLimited",
    "RequestError", "ServerError", "Stopped", "SubmitUnknown", "TaskFailed", "TaskNotFound",
    "TransportError", "WaitTimeout",
)  # fmt: skip
_HOME_OF = {
    "Batch": "batches",
    "Client": "client",
    "Comparison": "comparing",
    "Gallery": "results",
    "Generation": "results",
    "Grid": "grids",
    "History": "archive",
    "ImageRequest": "models",
    "Panel": "panel",
    "Picture": "results",
    "Recipe": "recipes",
    "Sandbox": "sandbox",
    "Schedule": "pacing",
    "Settings": "settings",
    "Studio": "studio",
    "allow_asyncio_run": "nest",
    "balance": "sync",
    "batch": "sync",
    "compare": "comparing",
    "edit": "sync",
    "generate": "sync",
    "grid": "sync",
    "history": "sync",
    "load": "recipes",
    "login": "sync",
    "resume": "sync",
    "styles": "sync",
    "vary": "sync",
    **dict.fromkeys(_ERRORS, "errors"),
}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        return import_module("importlib.metadata").version("nanobanana-nb")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext nanobanana_nb`"""
    from . import magics

    magics.load(shell, lambda: __getattr__("Panel")())


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext nanobanana_nb`"""
    from . import magics

    magics.unload(shell)
