"""The streamer's report, metrics and alerts."""
