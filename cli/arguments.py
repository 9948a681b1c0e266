"""Arguments of calls, as they are written on a command line or in a file: JSON."""

from __future__ import annotations

import json
import shlex
from typing import Any

from zeropool.shared.errors import ZeropoolError


class BadArgument(ZeropoolError):  # noqa: N818 - named as the errors of zeropool.shared.errors
    """An argument is not JSON; the message says which, and what would be."""


def parse_arguments(texts: list[str]) -> list[Any]:
    """Read each argument as JSON.

    Raises:
        BadArgument: one is not; the message says which and how strings are written.
    """
    return [parse_json(text, f"argument {number}") for number, text in enumerate(texts, 1)]


def parse_json(text: str, name: str) -> Any:  # noqa: ANN401 - any argument
    """Read a text that errors are to call ``name``.

    Raises:
        BadArgument: it is no JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        quoted = shlex.quote(json.dumps(text, ensure_ascii=False))
        raise BadArgument(
            f"{name} is not JSON: {text!r} ({error}); a string needs quotes of its own: {quoted}"
        ) from error
    except RecursionError as error:
        raise BadArgument(f"{name} is nested too deeply") from error
