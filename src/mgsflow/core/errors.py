"""The exception whose message is for the user."""

from __future__ import annotations


class UserError(Exception):
    """A fault in the user's input: the command exits with code 2 and without a traceback.

    The message names the file, the row or the key, what was expected there, and what to do.
    """
