"""A person's session: choices, the link to them, networks and analyses in memory, long jobs."""
