"""The panel: without a browser here, in real front ends in `front_ends`."""
