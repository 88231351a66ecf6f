"""The format of what is stored: profiles, models and the state around them, by one number."""

from models.errors import ShoalError

FORMAT = 3
"""Who changes what is stored raises it, and goes on reading every format below."""


class FutureFormatError(ShoalError):
    """Something was stored by a newer Shoal; `problem` says what, `action` what to do."""

    def __init__(self, what: str, found: object) -> None:
        self.problem = f"{what} has format {found}, this Shoal reads {FORMAT}"
        self.action = "run the version that wrote it, or a newer one"
        super().__init__(f"{self.problem}: {self.action}")
