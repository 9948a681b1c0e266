"""The `zeropool` command: the one place that knows gateway, workers and client together."""

from zeropool.shared import native

# Before anything else is imported, in spawned processes too.
native.choose()
