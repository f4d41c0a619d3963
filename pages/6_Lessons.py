"""Lessons: what global pooling does, as live experiments on the photo at hand."""

from explorer.ui.skeleton import show_skeleton

show_skeleton("Lessons")  # the imports below take seconds the first time

from explorer.ui.frame import frame
from explorer.ui.pages.lessons.lesson_page import show_lesson
from explorer.ui.pages.lessons.scene import Scene

page = frame("Lessons")
page.show(lambda: show_lesson(Scene(page.session, page.analysis, page.outcome, page.class_index)))
