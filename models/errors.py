"""The one root of every error that Shoal raises on purpose."""


class ShoalError(Exception):
    """Something went wrong that a person can act on; the message says how."""
