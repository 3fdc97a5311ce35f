"""The one exception for mistakes that the user can mend."""

from __future__ import annotations


class ReconError(Exception):
    """A user mistake: bad input, bad configuration, a busy folder, a full disk.

    The message names the thing, what was found, what was wanted and the next step, for example
    ``view 012.jpg: K is for 1920x1080, image is 960x540; set downscale: 2 or re-export the cameras``.
    The command line prints it alone, without a traceback, and exits with code 2. Anything else that is
    raised is a fault of this package and keeps its traceback.
    """

    def __init__(self, what: str, *, found: object = None, wanted: object = None, fix: str | None = None) -> None:
        self.what = what
        self.found = found
        self.wanted = wanted
        self.fix = fix
        parts = [what]
        if found is not None:
            parts.append(f"found {found}")
        if wanted is not None:
            parts.append(f"wanted {wanted}")
        message = ": ".join(parts[:2]) if len(parts) > 1 else what
        if len(parts) > 2:
            message += f", {parts[2]}"
        if fix:
            message += f"; {fix}"
        super().__init__(message)
