"""Lessons: what global pooling does, as live experiments on the photo at hand."""

import streamlit as st

from explorer.ui.frame import frame, show_notices, shown_class
from explorer.ui.pages.lessons.lesson_page import show_lesson
from explorer.ui.pages.lessons.scene import Scene
from explorer.ui.pooling_choice import outcome_of

current, analysis = frame("Lessons")


@st.fragment
def story() -> None:
    class_index = shown_class(current, analysis)
    if current.left_frame(class_index):
        st.rerun()
    show_lesson(Scene(current, analysis, outcome_of(analysis, current.choices.pooling), class_index))
    show_notices(current, analysis)


story()
