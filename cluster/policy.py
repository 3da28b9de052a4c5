"""The policy: what happens after each failure class. One table, for every executor.

| class | action |
|---|---|
| TransientError | back off with full jitter and try again in place, a bounded number of times, then set aside |
| RefusedError | the same, then stop: one 403 is a hiccup of a token, many are no credentials |
| PreemptedError | re-queue, not counted |
| ResourceError (out of memory on the device) | halve the batch, remember it, try again; at one window, set aside |
| DeviceError (illegal access, ECC) | the process dies, another one takes the unit |
| PoisonError, and anything unforeseen | quarantine record with traceback; go on |
| SystemicError, ConfigError | stop the run at once |
"""

from __future__ import annotations

from enum import Enum

from core.errors import (
    ConfigError,
    DeviceError,
    PreemptedError,
    RefusedError,
    ResourceError,
    SystemicError,
    TransientError,
)

ATTEMPTS = 5
BASE_S, CAP_S = 0.5, 20.0


class Action(Enum):
    """What to do with a unit that raised."""

    RETRY = "retry"
    RETRY_THEN_STOP = "retry, then stop"
    REQUEUE = "re-queue"
    SHRINK = "shrink"
    DIE = "die"
    SET_ASIDE = "set aside"
    STOP = "stop"


# Looked up in order: RefusedError is a SystemicError.
ACTIONS: tuple[tuple[type[BaseException], Action], ...] = (
    (TransientError, Action.RETRY),
    (RefusedError, Action.RETRY_THEN_STOP),
    (PreemptedError, Action.REQUEUE),
    (ResourceError, Action.SHRINK),
    (DeviceError, Action.DIE),
    (SystemicError, Action.STOP),
    (ConfigError, Action.STOP),
)
# torch raises its own types, and RuntimeError with CUDA's words; core must not import torch to know them.
_OUT_OF_MEMORY = ("OutOfMemoryError",)
_BROKEN_DEVICE = ("CUDA error", "ECC error", "device-side assert", "AcceleratorError")


def action_for(error: BaseException) -> Action:
    """The action for an error; anything that is in no row is set aside."""
    for kind, action in ACTIONS:
        if isinstance(error, kind):
            return action
    text = f"{type(error).__name__}: {error}"
    if any(word in text for word in _OUT_OF_MEMORY) or "CUDA out of memory" in text:
        return Action.SHRINK
    if any(word in text for word in _BROKEN_DEVICE):
        return Action.DIE
    return Action.SET_ASIDE


def pause_s(tried: int, jitter: float) -> float:
    """Seconds before try `tried` + 1. jitter in [0, 1): full, so that a fleet does not come back in step."""
    return jitter * min(CAP_S, BASE_S * float(2**tried))
