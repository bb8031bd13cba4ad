"""The one exception whose message is meant for the user.

Every wrong input becomes an `InputError` with a single line that names the file or argument,
the value found, the value expected and the remedy. The command line prints it and exits with 2.
"""


class InputError(ValueError):
    """Input that cannot be used; the message is one complete line for the user."""
