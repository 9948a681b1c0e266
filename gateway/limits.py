"""What bounds one gateway, as numbers; where they come from is the configuration's business."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds the gateway; the meaning of each is documented with the configuration."""

    max_request_bytes: int
    max_reply_bytes: int
    max_held_bytes: int
    max_unread_bytes: int
    max_attempts: int
    max_workers: int
    startup_grace_s: float
    stream_idle_s: float
