"""What gateway, workers and client have in common: wire, worker protocol, errors, configuration."""
