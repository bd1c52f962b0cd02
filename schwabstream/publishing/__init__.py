"""Writes events to Redis: the queue of each channel, the transaction, the lease, the publisher."""
