"""What of Google Colab's own package we meet, behaving as its public source says it does.

Put this folder's parent's parent on PYTHONPATH, and have IPython load `google.colab` as an
extension, as Colab does: `tests/harness/colab.py` does both. `COLAB_SECONDS` shortens the ten
seconds that a secret is waited for.
"""

from . import drive, errors, output

__all__ = ["drive", "errors", "output"]


def load_ipython_extension(ipython: object) -> None:
    """What Colab does here (its own magics, hooks and reprs) does not touch us."""
