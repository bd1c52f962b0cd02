"""Schwab's wire, without I/O: numbered fields, frames, commands, one login as a state machine, symbols."""
