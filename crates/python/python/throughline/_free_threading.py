"""The refusal of free-threaded builds, before the compiled core is imported."""

from __future__ import annotations

import sys
import sysconfig


def refuse() -> None:
    """Raises ``ImportError`` in a build of Python without the global interpreter lock."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise ImportError(
            "throughline does not run on a free-threaded build of Python: its compiled core uses the stable ABI, "
            f"which Python {sys.version.split()[0]} without the GIL does not have. Use a build with the GIL."
        )
