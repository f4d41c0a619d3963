"""Why this class and not that one: questions that are answered by taking apart, leaving out and running again."""
