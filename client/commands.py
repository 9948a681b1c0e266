"""What a client's core asks its shell to do. Imperatives, carried out in the order given."""

from __future__ import annotations

import msgspec

from zeropool.client.link import Link


class Connect(msgspec.Struct, frozen=True):
    """Connect to the link's endpoint."""

    link: Link


class HangUp(msgspec.Struct, frozen=True):
    """Close the link's connection; the core has dropped it already."""

    link: Link


Command = Connect | HangUp
