"""The agent on a device, spoken to: where it runs, what it finds, what it has built."""
