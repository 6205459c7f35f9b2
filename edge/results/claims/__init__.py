"""What somebody claims beside what was measured: which measurement comes nearest, what differs, and what it says."""
