"""Figures of several runs as one: medians with their spread, ratios run by run; and the machine they were taken on."""

import datetime as dt
import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_PACKAGES = ("schwabstream", "schwab-py", "websockets", "redis", "hiredis", "orjson", "pydantic")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of several runs."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        """The text of a table cell."""
        if self.least == self.most:
            return short(self.median)
        return f"{short(self.median)} ({short(self.least)}–{short(self.most)})"

    def as_dict(self) -> dict[str, float]:
        """It as JSON."""
        return asdict(self)


def spread(values: Sequence[float | None]) -> Spread | None:
    """Over what is there; None when nothing is."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    return Spread(*(round(value, 3) for value in (statistics.median(present), min(present), max(present))))


def ratios(ours: Sequence[float | None], theirs: Sequence[float | None]) -> Spread | None:
    """Ours over theirs, run by run, so that what slows a pair of runs down leaves their ratio alone."""
    pairs = zip(ours, theirs, strict=True)
    return spread([one / other if one is not None and other else None for one, other in pairs])


def short(value: float) -> str:
    """Three digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def machine() -> dict[str, Any]:
    """What the figures were taken on, and how busy it was then."""
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    models = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }
