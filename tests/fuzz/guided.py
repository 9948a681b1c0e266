"""Coverage-guided fuzzing of one target with atheris: inputs that reach new code breed others.

    PYTHONPATH=tests:tests/models .venv/bin/python -m fuzz.guided session --seconds 60

It ends by itself with code 0, or at the first fault, with the input in ``build/fuzz/TARGET``, which
is run again with ``--input FILE``. atheris ends the process; so each target runs in its own.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["zeropool", "fuzz"]):
    from fuzz.campaign import TARGETS
    from fuzz.targets import Target

#: Between two inputs of a target that has a state.
SEPARATOR = b"\xff\xfe\xfd"
MAX_INPUT_BYTES = 4_096


def feed(target: Target, data: bytes, folder: Path) -> None:
    """One life of a target: everything in ``data``, and the end."""
    target.open(random.Random(0), folder)
    for part in data.split(SEPARATOR):
        target.feed(part)
    target.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1, help="most inputs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--input", type=Path, default=None)
    options = parser.parse_args()
    target = TARGETS[options.target]()
    # Not a temporary one: atheris ends the process, and what it learned is of use the next time.
    folder = options.folder / options.target
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    if options.input is not None:
        feed(target, options.input.read_bytes(), folder)
        return
    for number, payload in enumerate(target.pool):
        (corpus / str(number)).write_bytes(payload)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={options.seconds}",
            f"-runs={options.runs}",
            f"-seed={options.seed}",
            f"-max_len={MAX_INPUT_BYTES}",
            f"-artifact_prefix={folder}/failure-",
            "-rss_limit_mb=2048",
            "-timeout=10",
            "-print_final_stats=1",
            str(corpus),
        ],
        lambda data: feed(target, data, folder),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
