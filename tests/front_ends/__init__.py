"""Tests in real front ends; a package, so that its fixtures can end with it."""
