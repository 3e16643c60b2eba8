"""What of the page's output area can be asked for from Python."""

from ._widgets import disable_custom_widget_manager, enable_custom_widget_manager

__all__ = ["disable_custom_widget_manager", "enable_custom_widget_manager"]
