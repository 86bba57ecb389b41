"""The error a user can act on."""


class UserError(Exception):
    """Something the user can mend; the message is one line that says what and how."""
