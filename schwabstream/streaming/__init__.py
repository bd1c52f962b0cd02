"""Streams one session after another; knows neither Redis nor files."""
