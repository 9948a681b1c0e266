"""The `zerorpc` command with the name which Python 3.10 took away put back.

zerorpc 0.6.3 asks for `collections.Iterator` after each call it makes (its listing does not).
The alias is what users of that version put into a sitecustomize.py.
"""

import collections
import collections.abc
import sys

collections.Iterator = collections.abc.Iterator  # type: ignore[attr-defined]

from zerorpc import cli  # noqa: E402 - the alias must be there first

if __name__ == "__main__":
    sys.exit(cli.main())
