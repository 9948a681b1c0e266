"""Exit codes of the `zeropool` command and of the children of `zeropool serve`."""

EXIT_ERROR = 1
EXIT_USAGE = 2
#: sysexits.h, EX_CONFIG: starting again would not help.
EXIT_CONFIG = 78
#: Shells report a process that SIGINT ended so.
EXIT_INTERRUPTED = 130
