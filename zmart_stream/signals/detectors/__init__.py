"""What raises signals of our own."""
