"""What keeps a device from doing its job, and what mends it."""
