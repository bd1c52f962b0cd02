"""What schwabstream costs, measured: ``python -m benchmarks`` (method and figures: docs/performance.md)."""
