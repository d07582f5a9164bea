"""The peer that runs beside: PyFlink's own KeyedProcessFunction in process mode, doing what the trivial action does.

Not the embedded agents that the table quotes, but what anyone with Flink and Python has. A ratio to it, taken on the
same machine in the same hour, means more than either figure alone.
"""

from __future__ import annotations

import re
import subprocess

from processes import ROOT

__all__ = ["measure_peer"]

_DEADLINE_SECONDS = 180


def measure_peer() -> list[float] | None:
    """Inputs per second, one figure for each pair of runs; None if it does not run here."""
    print("peer: PyFlink's KeyedProcessFunction", flush=True)
    python = ROOT / ".venv-job" / "bin" / "python"
    if not python.exists():
        print("  left out: .venv-job is not there")
        return None
    done = subprocess.run(
        [str(python), str(ROOT / "benchmarks" / "peer_job.py")],
        capture_output=True, text=True, timeout=_DEADLINE_SECONDS,
    )  # fmt: skip
    rates = [float(rate) for rate in re.findall(r"^RATE ([\d.]+)$", done.stdout, re.M)]
    print("  " + (", ".join(f"{rate:,.0f}" for rate in rates) or f"no figure: {done.stderr[-500:]}"))
    return rates or None
