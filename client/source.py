"""Where the calls of a flight come from, and who takes what came of them. No I/O, no clock.

A class and no protocol: what is compiled then calls its methods by their place.
"""

from __future__ import annotations

from zeropool.client.call import Call


class Source:
    """Calls to make, as there is room for them."""

    @property
    def open(self) -> list[Call]:
        """Calls in flight."""
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        """There is nothing more to do."""
        raise NotImplementedError

    def next_call(self, now: float) -> Call | None:
        """One more call to make now; None while there is none."""
        raise NotImplementedError

    def end(self, call: Call) -> None:
        """A call has news; it may be told more than once."""
        raise NotImplementedError
