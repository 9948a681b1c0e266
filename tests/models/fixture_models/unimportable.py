"""A module that can not be imported, for want of another."""

import not_installed_anywhere  # noqa: F401
