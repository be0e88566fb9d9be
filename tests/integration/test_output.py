"""Results that cannot be written are an error: /dev/full takes nothing."""
import os
import pathlib
import subprocess

import pytest

BIN = pathlib.Path(os.environ.get("OPENFUNNEL_BIN", pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"))


@pytest.mark.parametrize("argv", [["funnel", "--version"], ["funnel", "--help"], ["funnelctl", "--version"],
                                  ["funnelctl", "help"]])
def test_a_full_disk_is_said(argv):
    fine = subprocess.run([BIN / argv[0], *argv[1:]], capture_output=True, text=True, timeout=30)
    assert fine.returncode == 0 and fine.stdout
    with open("/dev/full", "w") as full:
        lost = subprocess.run([BIN / argv[0], *argv[1:]], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert lost.returncode == 1
    assert "the output is not whole" in lost.stderr and "No space left on device" in lost.stderr
