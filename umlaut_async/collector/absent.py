"""What is said of a part of the environment that cannot be had."""


class AbsentError(Exception):
    """A part of the environment is not there; the message says why."""
