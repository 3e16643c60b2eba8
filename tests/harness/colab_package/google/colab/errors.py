"""The errors of google.colab."""


class Error(Exception):
    """The base of most of them; `userdata.NotebookAccessError` is none of these."""
