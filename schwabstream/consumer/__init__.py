"""Redis → programs: live subscriptions with the last value first, and durable streams."""
