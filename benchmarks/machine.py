"""Where a result was measured."""

from __future__ import annotations

import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path


def described(threads: int) -> dict[str, str]:
    """Names of the CPU and the system, the date, the threads."""
    return {
        "cpu": cpu_name(), "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else
                                        os.cpu_count() or 1),
        "threads": str(threads), "system": f"{platform.system()} {platform.release()}",
        "memory": f"{total_memory() / 2**30:.0f} GiB", "python": platform.python_version(),
        "date": now(),
    }  # fmt: skip


def now() -> str:
    """The date and the time."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def cpu_name() -> str:
    """As the system says it, with family and model where they tell more (virtual machines hide the name)."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    extra = [f"{key.split()[-1]} {named[key]}" for key in ("cpu family", "model") if key in named]
    return f"{named.get('model name', platform.machine())}" + (f" ({', '.join(extra)})" if extra else "")


def busy(seconds: float = 0.5) -> float:
    """The share of all cores' time that is taken now; 0 where the system does not say."""
    if not Path("/proc/stat").exists():
        return 0.0
    before = _ticks()
    time.sleep(seconds)
    spent = [b - a for a, b in zip(before, _ticks())]
    return 1 - (spent[3] + spent[4]) / max(sum(spent), 1)


def _ticks() -> list[int]:
    """User, nice, system, idle, waiting for disks, interrupts, stolen by other guests."""
    return [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def total_memory() -> int:
    """Bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_memory() -> int:
    """Bytes that a new process may take without others losing theirs; all of it where the system does not say."""
    info = Path("/proc/meminfo")
    if sys.platform != "linux" or not info.exists():
        return total_memory()
    line = next(line for line in info.read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024
