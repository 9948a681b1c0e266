"""Experiments that hurt a real Zeropool and count what becomes of every request.

Each module with a `main` is one: `PYTHONPATH=tests python -m chaos.kills --help`. It prints what it
found, writes it as JSON where `--out` says so, and ends with an exit code other than 0 if a promise
was broken. The suite runs a short form of each.
"""
