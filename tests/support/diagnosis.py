"""Look-ups in a diagnosis of ``doctor``, and a streamer's report for it to find."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schwabstream.commands.doctor.findings import Diagnosis, Verdict
from schwabstream.report import StreamerReport, SymbolReport


def of(diagnosis: Diagnosis, name: str) -> Any:
    """One finding."""
    return next(each for each in diagnosis.findings if each.name == name)


def verdicts(diagnosis: Diagnosis) -> dict[str, Verdict]:
    """Everything that is not simply right."""
    return {each.name: each.verdict for each in diagnosis.findings if each.verdict is not Verdict.OK}


Issue = Callable[..., Path]


def report(**changes: Any) -> str:
    """A streamer's report of this moment."""
    now = int(time.time() * 1000)
    line = SymbolReport(symbol="/MNQ:XCME", key="/MNQ", asset="FUTURE", fresh=True)
    given = {"state": "streaming", "since": now, "reported": now, "started": now, "pid": 4711, "host": "tower"}
    return StreamerReport(**(given | {"version": "0", "symbols": (line,)} | changes)).model_dump_json()
