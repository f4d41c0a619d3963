"""Lessons on a page: a head, a lesson's controls, and its picture; the numbers come from explorer.lessons."""
