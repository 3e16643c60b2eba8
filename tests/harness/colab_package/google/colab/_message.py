"""Requests to the page: sent on iopub, answered on the stdin socket, which is polled meanwhile.

As in Colab, whatever else arrives on that socket while an answer is awaited is thrown away, and
the calling thread sleeps, whichever it is.
"""

import itertools
import time

import zmq
from IPython import get_ipython

from .errors import Error

_numbers = itertools.count(1)


class MessageError(Error):
    """The page answered with an error."""


def blocking_request(request_type, request="", timeout_sec=5, parent=None):
    """What the page answers, or None where it does not in time; None waits for ever."""
    number = _send(request_type, request, parent)
    end = None if timeout_sec is None else time.time() + timeout_sec
    while end is None or time.time() < end:
        reply = _arrived()
        if not isinstance(reply, dict):
            time.sleep(0.025)
        elif reply.get("type") == "colab_reply" and reply.get("colab_msg_id") == number:
            if "error" in reply:
                raise MessageError(reply["error"])
            return reply.get("data")
    return None


def _send(request_type, request, parent):
    app = get_ipython().kernel.parent
    number = next(_numbers)
    header = app.kernel.shell.parent_header
    if parent is None and header:
        parent = {"header": {"session": header["header"]["session"]}}
    message = app.session.msg(
        "colab_request",
        content={"request": request},
        metadata={"colab_request_type": request_type, "colab_msg_id": number},
        parent=parent,
    )
    app.session.send(app.iopub_socket, message)
    return number


def _arrived():
    kernel = get_ipython().kernel
    try:
        _, message = kernel.session.recv(kernel.stdin_socket, zmq.NOBLOCK)
    except Exception:  # as in Colab: what cannot be read counts as nothing
        return None
    return message.get("content", {}).get("value", "") if message else None
