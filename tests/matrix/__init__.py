"""What `make matrix` does: the tests on other Pythons, with other people's versions."""
