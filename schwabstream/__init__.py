"""Schwab market data, streamed reliably into Redis and your terminal."""

__version__ = "0.1.0"
