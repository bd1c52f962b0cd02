"""What people see: live screens, the quote table, the ladder, the status page."""
