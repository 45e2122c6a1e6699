"""How torch's threads wait is settled before torch is loaded, by whatever starts the engine."""

import os
import subprocess
import sys

import pytest

SHOWN = "import os, myvlm_engine.serving; print(os.environ['GOMP_SPINCOUNT'])"


@pytest.mark.parametrize("given, used", [(None, "500"), ("30000", "30000")])
def test_threads_hardly_spin_unless_somebody_says_so(given, used):
    environ = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environ |= {"GOMP_SPINCOUNT": given} if given else {}
    shown = subprocess.run([sys.executable, "-c", SHOWN], env=environ, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == used


def test_torch_is_not_loaded_before():
    first = "import sys, myvlm_engine; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", first], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
