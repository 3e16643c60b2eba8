"""Faults, kills and a checker: is a paid picture ever lost, or anything ever paid for twice?

`service` is an API that misbehaves and keeps its own account, `client` is ours under test, `naive`
the client of the vendor's samples, `receiver` takes callbacks, `crash` kills ours with SIGKILL,
`checker` joins account, ledger and files. `python -m benchmarks.faults` runs them.
"""
