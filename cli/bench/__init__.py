"""`zeropool bench`: what a ZeroRPC server carries, and how long its callers wait.

`command` leads from the options to an exit code, and `load` and `link` are its shells; all else
are cores.
"""
