"""Schwab's wire protocol, without I/O: numbered fields, frames, commands, sessions, symbols."""
