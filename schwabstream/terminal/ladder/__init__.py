"""The ladder of one order book: which levels fit, and how they are drawn."""
