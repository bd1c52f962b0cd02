"""The way to Redis, shared by those who write and those who read: URLs, connections, causes of errors."""
