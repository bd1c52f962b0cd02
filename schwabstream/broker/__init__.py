"""Connections to Redis, for writers and readers: URLs, clients, routes to the master, causes of errors."""
