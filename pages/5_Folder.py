"""Folder: many photos at once, which are wrong, and where the evidence lay."""

from explorer.ui.skeleton import show_skeleton

show_skeleton("Folder")  # the imports below take seconds the first time

from explorer.folder.index import Index
from explorer.ui.frame import frame
from explorer.ui.pages.folder.causes import causes_part
from explorer.ui.pages.folder.heads import trained_heads
from explorer.ui.pages.folder.opening import another_folder, part_choice, run_choice, title_of
from explorer.ui.pages.folder.overview import classes, confusion, glance, run_headline, two_runs
from explorer.ui.pages.folder.photos import selection_choice, sign_off, take_along, wall
from explorer.ui.run_photos import same_cause_panel

page = frame("Folder")
session = page.session


def show() -> None:
    index = run_choice(session)
    if index is None:
        return
    run_headline(index, title_of(session))
    part_choice(session)
    if session.choices.part == "causes":
        causes_part(session, index)
    elif session.choices.part == "heads":
        trained_heads(session, index)
    else:
        photos_part(index)


def photos_part(index: Index) -> None:
    glance(index)
    two_runs(session, index)
    confusion(session, index)
    selection_choice(session, index)
    numbers = wall(session, index)
    same_cause_panel(session)
    sign_off(session, index)
    take_along(session, index, numbers)
    classes(session, index)
    another_folder(session)


page.show(show)
