"""How a failure is told to the caller: its name, its message and its traceback text.

Knows how to cut our own frames off a model's traceback, and how long each text may be. Refuses to
know how the three texts travel (`zeropool.shared.wire.event`) and who logs them. The traceback
always ends with ``Name: message``, because that is what ``str(zerorpc.RemoteError)`` shows.
"""

from __future__ import annotations

import os
import traceback
from types import TracebackType

from zeropool.shared.errors import CallerError, ServerError, ZeropoolError

#: Longest message in characters: room for any sentence, none for a client's whole payload.
MESSAGE_LIMIT = 2_000
#: Longest name in characters; class names are shorter unless somebody generates them.
NAME_LIMIT = 200
#: Longest traceback in characters, about 200 lines.
TRACEBACK_LIMIT = 20_000
#: Most exceptions of one cause chain that are told; the newest ones are kept.
CHAIN_LIMIT = 5
ELLIPSIS = "…"

#: Where our frames are: as source, and compiled, as `setup.py` names the files.
_OUR_FOLDERS = (
    os.path.dirname(os.path.abspath(__file__)) + os.sep,  # noqa: PTH100, PTH120
    "zeropool/workers/",
)
_HEADER = "Traceback (most recent call last):\n"
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


class ModelFailed(ServerError):  # noqa: N818  # named as the errors of zeropool.shared.errors
    """The model broke its contract: it ended the process, or answered with something unusable."""

    wire_name = "ModelFailed"


def bounded(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return the text, cut to `limit` characters with an ellipsis at its end."""
    if len(text) <= limit:
        return text
    return text[: limit - len(ELLIPSIS)] + ELLIPSIS


def message_of(error: BaseException) -> str:
    """Return `str(error)`, bounded, in a form that UTF-8 can carry, whatever `__str__` does."""
    try:
        text = bounded(str(error))
    except Exception as broken:  # noqa: BLE001  # a model's __str__ may raise anything
        text = f"<__str__ raised {bounded(type(broken).__name__, NAME_LIMIT)}>"
    return encodable(text)


def describe(error: BaseException, method: str) -> tuple[str, str, str]:
    """Return name, message and traceback text of an error, as a client is told.

    The traceback starts at the model's own frames and names the `method` that was called; it ends
    with ``Name: message``. An error of the caller has that line only.
    """
    name = _name_of(error)
    message = message_of(error)
    last_line = f"{name}: {message}"
    if isinstance(error, CallerError):
        return name, message, last_line
    story = _story(error, method)
    room = TRACEBACK_LIMIT - len(last_line)
    if len(story) > room:
        story = bounded(story, room - 1) + "\n"
    return name, message, story + last_line


def _name_of(error: BaseException) -> str:
    if isinstance(error, ZeropoolError):
        return error.wire_name
    return encodable(bounded(type(error).__name__, NAME_LIMIT))


def _story(error: BaseException, method: str) -> str:
    """Return everything above the last line: the causes, oldest first, then the error's frames."""
    text = _frames(error, method)
    told = {id(error)}
    for _ in range(CHAIN_LIMIT - 1):
        linked, sentence = _linked(error)
        if linked is None or id(linked) in told:
            break
        told.add(id(linked))
        ending = f"{_name_of(linked)}: {message_of(linked)}\n"
        text = _frames(linked, method) + ending + sentence + text
        error = linked
    return text


def _linked(error: BaseException) -> tuple[BaseException | None, str]:
    if error.__cause__ is not None:
        return error.__cause__, _CAUSE
    if error.__suppress_context__:
        return None, ""
    return error.__context__, _CONTEXT


def _frames(error: BaseException, method: str) -> str:
    """Return the frames of the model, or nothing if the error was raised by ourselves."""
    first = _below_ours(error.__traceback__)
    if first is None:
        return ""
    stack = traceback.StackSummary.extract(traceback.walk_tb(first))
    text = "".join(stack.format())
    return encodable(f"{_HEADER}  [called as {method}]\n{text}")


def _below_ours(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OUR_FOLDERS):
        frames = frames.tb_next
    return frames


def encodable(text: str) -> str:
    """Return the text with lone surrogates written as escapes: msgpack strings are UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
