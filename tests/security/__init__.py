"""The case tables of the failure model: one file for each kind of harm."""
