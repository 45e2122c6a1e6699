"""Which process starts itself again with glibc's tunables, and that it is then the same command."""

import json
import platform
import subprocess
import sys

import pytest

from myvlm_engine.malloc import KEEP_LARGE_BLOCKS, VARIABLE, wants_restart


def test_only_our_own_programs_on_glibc_start_again_and_only_once():
    assert wants_restart({}, "glibc", "myvlm")
    assert not wants_restart({VARIABLE: "glibc.malloc.check=3"}, "glibc", "myvlm")  # an operator's choice stands
    assert not wants_restart({}, "", "myvlm")  # macOS, musl
    assert not wants_restart({}, "glibc", "pytest")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="LOUD: no glibc here, so nothing starts again")
def test_it_is_the_same_command_with_the_same_words_and_process_id(tmp_path):
    program = tmp_path / "myvlm"
    program.write_text(
        "import json, os, sys\nprint(os.getpid(), flush=True)\n"
        "from myvlm_engine.malloc import restart_with_large_blocks\nrestart_with_large_blocks()\n"
        "print(json.dumps([sys.argv[1:], os.environ['GLIBC_TUNABLES']]))\n"
    )
    out = subprocess.run([sys.executable, str(program), "a b", "--c"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[0] == out[1] and json.loads(out[2]) == [["a b", "--c"], KEEP_LARGE_BLOCKS]
