"""The refusal of builds of Python without the global interpreter lock."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def test_a_free_threaded_build_is_refused_before_the_core_is_imported() -> None:
    program = """
        import sys, sysconfig

        known = sysconfig.get_config_var
        sysconfig.get_config_var = lambda name: 1 if name == "Py_GIL_DISABLED" else known(name)
        try:
            import throughline
        except ImportError as error:
            print(error)
        assert not any(name.endswith("_throughline") for name in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False, timeout=60
    )
    version = sys.version.split()[0]
    assert (done.returncode, done.stdout) == (
        0,
        "throughline does not run on a free-threaded build of Python: its compiled core uses the stable ABI, "
        f"which Python {version} without the GIL does not have. Use a build with the GIL.\n",
    ), done.stderr
