"""The one exception that speaks to the user."""

from __future__ import annotations


class UserError(Exception):
    """Something in the user's input is wrong: the command exits with code 2 and no traceback.

    The message names the file, the row or the key, what was expected there, and what to do.
    """
