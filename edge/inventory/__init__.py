"""Which devices there are: the fleet file, the language that picks them, and other inventories that become one."""
