"""Whether an exception has ended the program, as far as the end of the interpreter can tell."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from umlaut_async.records import Ending

if TYPE_CHECKING:
    from types import FrameType


def ending_at_exit(began: int) -> Ending:
    """Return how a run ends that nobody closed, when the interpreter ends.

    Args:
        began: When it began to end, on the clock of `now()`.
    """
    # What Python prints the traceback of is left here. So does every prompt with what was typed wrong, Tk with what a
    # callback raised, and a test runner with what a test did: these go on.
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if not isinstance(error, BaseException) or not _has_ended_program(error):
        return Ending("ok", "exit", began)
    return Ending("error", f"exception: {type(error).__name__}", began)


def _has_ended_program(error: BaseException) -> bool:
    trace = getattr(sys, "last_traceback", None) or error.__traceback__
    if trace is None:
        return False  # It was typed wrong so that it could not even begin.
    frame = trace.tb_frame
    return (_is_outermost(frame) and not _prompt_followed(frame)) or _was_script_of_ipython()


def _is_outermost(frame: FrameType) -> bool:
    """Return whether a frame is that of the program, which nothing has called that could go on."""
    module = frame.f_globals.get("__name__")
    is_program = module == "runpy" or (module == "__main__" and frame.f_code.co_name.startswith("<module"))
    return is_program and frame.f_back is None


def _prompt_followed(frame: FrameType) -> bool:
    """Return whether Python has prompted for more after that, be it at the end of a script or where there is none."""
    # There is a prompt also after `code.interact`, which a script may call.
    if not hasattr(sys, "ps1"):
        return False
    asked = sys.flags.interactive or sys.flags.inspect or os.environ.get("PYTHONINSPECT")
    return bool(asked) or frame.f_code.co_filename.startswith("<stdin>")


def _was_script_of_ipython() -> bool:
    """Return whether IPython was to run one script or line and no more: it shows what that raises, and exits."""
    ipython = sys.modules.get("IPython")
    try:
        return ipython is not None and ipython.get_ipython().parent.interact is False
    except AttributeError:
        return False  # There is none, or none that runs scripts.
