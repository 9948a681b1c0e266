"""The back of the pool: processes that hold models and answer jobs."""
