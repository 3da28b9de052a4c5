"""The failure classes of a run, one exception each.

Every message says what was found, what was expected and how to mend it, because it is read by an operator at night
and not by its author. `ConfigError` means that the call is wrong (exit code 2); the others map one-to-one on what
the scheduler does: wait and try again, hand to another worker, shrink, restart, quarantine, stop.
"""

from __future__ import annotations


class IcefleetError(Exception):
    """Base of every error raised on purpose.

    where: the file, key or unit at fault; found / expected / fix: one clause each, empty where it would say nothing.
    """

    def __init__(self, where: str, *, found: str = "", expected: str = "", fix: str = "") -> None:
        self.where, self.found, self.expected, self.fix = where, found, expected, fix
        clauses = [f"found {found}" if found else "", f"expected {expected}" if expected else "", fix]
        super().__init__(": ".join([where, "; ".join(c for c in clauses if c)]) if any(clauses) else where)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders; the default would rebuild from the joined message alone.
        return (_rebuild, (type(self), self.where, self.found, self.expected, self.fix))


def _rebuild(kind: type[IcefleetError], where: str, found: str, expected: str, fix: str) -> IcefleetError:
    return kind(where, found=found, expected=expected, fix=fix)


class ConfigError(IcefleetError):
    """The configuration or the call is wrong; nothing was started."""


class TransientError(IcefleetError):
    """Worth the same attempt again after a pause: 5xx, SlowDown, time-out, cut body."""


class PreemptedError(IcefleetError):
    """The worker went away (node drained, SIGTERM); the unit is as good as new."""


class ResourceError(IcefleetError):
    """Too big for the device (out of memory): worth a smaller batch."""


class DeviceError(IcefleetError):
    """The device is broken for this process (illegal access, ECC): the process must die."""


class PoisonError(IcefleetError):
    """This one item can never succeed (corrupt chunk, invalid geometry): quarantine it and go on."""


class SystemicError(IcefleetError):
    """Every item would fail the same way (no credentials, wrong grid, missing model): stop the run."""


class RefusedError(SystemicError):
    """Access refused (403, credentials): worth a few more tries, for tokens are renewed; systemic if it stays."""
