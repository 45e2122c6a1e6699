"""How a process that computes on the CPU gets its memory: glibc is told to keep large blocks instead of returning them at once.

Without this every large tensor is handed back to the kernel and faulted in again: measured on two cores, the embedded vision tower
takes 0.13 s a photo instead of 0.03. glibc reads its tunables at a process's start only, hence the restart. Knows no model.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping

VARIABLE = "GLIBC_TUNABLES"
KEEP_LARGE_BLOCKS = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:glibc.malloc.trim_threshold=17179869184"


def wants_restart(environ: Mapping[str, str], libc: str, program: str) -> bool:
    """Only where it helps, only once, only a program of ours (never whoever imports it), and never over an operator's own choice."""
    return libc == "glibc" and VARIABLE not in environ and program in ("myvlm", "serving.py")


def restart_with_large_blocks() -> None:
    """Replaces this process by itself with the tunables set; the process id stays. Returns where there is nothing to do."""
    if wants_restart(os.environ, platform.libc_ver()[0], os.path.basename(sys.argv[0])):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, VARIABLE: KEEP_LARGE_BLOCKS})
