"""Stand-ins for what only a device has. They obey its rules and have none of its speed: their times are no results."""
