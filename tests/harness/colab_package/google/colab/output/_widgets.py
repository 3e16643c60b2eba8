"""A widget manager for other widgets than ipywidgets' own, told of with each widget displayed.

The hook that tells of it belongs to the thread that has switched it on: what another thread
displays goes out without.
"""

from IPython import get_ipython

WIDGET = "application/vnd.jupyter.widget-view+json"
MANAGER = "https://ssl.gstatic.com/colaboratory-static/widgets/manager.min.js"
_url = None


def enable_custom_widget_manager(version="5.0.0a"):
    """From now on, widgets that this thread displays name the manager that can draw them."""
    if version != "5.0.0a":
        raise ValueError(f"Unknown widgets version: {version}")
    _install(MANAGER)


def disable_custom_widget_manager():
    """No more of that."""
    _install(None)


def _install(url):
    global _url
    publisher = get_ipython().display_pub
    if url and not _url:
        publisher.register_hook(_told)
    elif not url and _url:
        publisher.unregister_hook(_told)
    _url = url


def _told(message):
    content = message.get("content", {})
    if _url and content.get("data", {}).get(WIDGET):
        metadata = content.setdefault("metadata", {}).setdefault(WIDGET, {})
        metadata["colab"] = {"custom_widget_manager": {"url": _url}}
    return message
