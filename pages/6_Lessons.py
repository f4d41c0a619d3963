"""Lessons: what global pooling does, as live experiments on the photo at hand."""

from explorer.ui.frame import frame
from explorer.ui.pages.lessons.lesson_page import Scene, show_lesson
from explorer.ui.pages.lessons.lesson_panels import TEACH

page = frame("Lessons")


def show() -> None:
    scene = Scene(page.session, page.analysis, page.outcome, page.class_index)
    show_lesson(scene, TEACH[page.choices.lesson])


page.show(show)
