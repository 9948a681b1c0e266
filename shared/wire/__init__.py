"""ZeroRPC v3 as a state machine without I/O and clock, one for both ends of the wire."""
