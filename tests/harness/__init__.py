"""Harnesses that drive the real programs around the package: kernels, servers and browsers."""
