"""A login that lasts: OAuth, the browser callback, the token file, Schwab's REST API."""
