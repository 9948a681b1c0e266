"""The `zeropool` command: the one place that knows gateway, workers and client together."""
