"""The simulated REST calls, one module for each group of them; their prices are the streamer's (protocol 2)."""
