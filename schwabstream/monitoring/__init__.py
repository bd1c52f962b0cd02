"""The report of a running streamer, its metrics and alerts."""
