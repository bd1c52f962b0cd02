"""What is queued for Redis and what is kept of it afterwards, and the commands that write it."""
