"""What all end-to-end tests share."""

import pytest


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the programs without coverage: measuring costs a third of their CPU, and the other tests cover the code."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
