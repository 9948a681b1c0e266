"""Small models for tests: put the folder above this one on the path and name them by module."""
