"""Kernels whose loop somebody has patched, as people do for their own `asyncio.run(...)`."""

from __future__ import annotations

WAYS = ("v1-before", "v1-after", "v2-before", "v2-after")
"""nest-asyncio or nest-asyncio2, applied before or after the package is loaded."""
_MODULES = {"v1": "nest_asyncio", "v2": "nest_asyncio2"}
_AFTER = """
def _patch(_):
    import sys
    if "nanobanana_nb" in sys.modules:
        get_ipython().events.unregister("post_run_cell", _patch)
        import {module}
        {module}.apply()

get_ipython().events.register("post_run_cell", _patch)
"""


def start_up(way: str | None) -> str:
    """What a kernel runs first: the patch itself, or what applies it after the cell that loads us.

    Nothing for `None`.
    """
    if way is None:
        return ""
    module = _MODULES[way[:2]]
    if way.endswith("before"):
        return f"import {module}; {module}.apply()"
    return _AFTER.format(module=module)
