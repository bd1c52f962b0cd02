"""Everything drawn on a terminal: live screens, the quote table, the status page."""
