"""What the frames mean, without I/O: last values, trading hours, REST quotes."""
