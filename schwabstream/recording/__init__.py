"""Frames → files → frames, events and tables."""
