"""The front of the pool: ZeroRPC calls in, jobs out to workers, replies back to callers."""
