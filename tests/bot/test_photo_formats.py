"""Every format a person may send is opened, in a process that has opened no other before."""

import subprocess
import sys

import pytest

READS = """
import io, sys
from PIL import Image
from bot.photos import PhotoLimits, read_photo
buffer = io.BytesIO()
first, second = Image.new("RGB", (60, 40), "teal"), Image.new("RGB", (60, 40), "tan")
first.save(buffer, sys.argv[1], **({"save_all": True, "append_images": [second]} if sys.argv[1] in ("MPO", "GIF") else {}))
print(read_photo(buffer.getvalue(), PhotoLimits(10**7, 10**7, 1024)).width)
"""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "MPO"])
def test_it_is_opened(kind):
    done = subprocess.run([sys.executable, "-c", READS, kind], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "60", done.stderr[-800:]
