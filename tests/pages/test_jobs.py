"""Long computations beside the pages: started once, shared, stopped when nobody asks, and never silent about errors."""

from __future__ import annotations

import threading
import time

import pytest

from explorer.errors import MethodError, StoppedError
from explorer.ui.session.jobs import Job


def wait(until) -> None:
    end = time.monotonic() + 10
    while not until():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.002)


def test_a_job_gives_what_its_work_gives_and_says_how_far_it_is():
    go = threading.Event()

    def work(progress, stop):
        progress(3, 7)
        go.wait(10)
        progress(7, 7)
        return "a map"

    job = Job(work)
    assert job.ask() is False
    wait(lambda: job.done == 3)
    assert (job.done, job.total, job.result) == (3, 7, None)
    go.set()
    wait(job.ask)
    assert (job.done, job.total, job.result, job.error) == (7, 7, "a map", "")


def test_better_and_better_results_are_shown_on_the_way_and_the_last_is_the_result():
    go = threading.Event()

    def work(progress, stop):
        yield "coarse"
        go.wait(10)
        yield "fine"

    job = Job(work)
    job.ask()
    wait(lambda: job.so_far == "coarse")
    assert (job.ask(), job.result) == (False, None)
    go.set()
    wait(job.ask)
    assert (job.result, job.so_far) == ("fine", None)


def test_however_often_it_is_asked_for_it_is_done_once():
    begun, go = [], threading.Event()

    def work(progress, stop):
        begun.append(1)
        go.wait(10)
        return 1

    job = Job(work)
    threads = [threading.Thread(target=job.ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    go.set()
    wait(job.ask)
    assert job.ask() is True
    assert begun == [1]


def test_what_nobody_asks_for_any_more_stops_and_begins_again_when_it_is_asked_for():
    begun, ended = [], []

    def work(progress, stop):
        begun.append(1)
        for done in range(10_000):
            progress(done, 10_000)
            if len(begun) == 2:
                return "at last"
            if stop():
                ended.append(done)
                raise StoppedError("It was stopped.")
            time.sleep(0.002)
        return "nobody stopped it"

    job = Job(work, patience=0.05)
    job.ask()
    wait(lambda: ended)
    assert job.result is None
    assert job.error == "", "to be stopped is no error"
    wait(lambda: job.ask())
    assert (job.result, len(begun)) == ("at last", 2)


def test_what_is_asked_for_again_and_again_goes_on():

    def work(progress, stop):
        for _ in range(40):
            time.sleep(0.02)
            if stop():
                raise StoppedError("It was stopped.")
        return "done"

    job = Job(work, patience=0.3)
    begin = time.monotonic()
    while not job.ask():
        time.sleep(0.02)
    assert job.result == "done"
    assert time.monotonic() - begin > 0.3


class Steps:
    """Work that takes as many steps as it is let, and asks before each whether to stop."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.let = threading.Semaphore(0)
        self.begun = self.asked = self.stopped = 0

    def __call__(self, progress, stop) -> str:
        self.begun += 1
        for done in range(self.total):
            self.let.acquire(timeout=10)
            self.asked += 1
            if stop():
                self.stopped += 1
                raise StoppedError("It was stopped.")
            progress(done + 1, self.total)
        return "done"


def test_what_is_left_stops_at_its_next_step_and_begins_again_when_it_is_asked_for():
    work = Steps(3)
    job = Job(work)
    job.ask()
    work.let.release()
    wait(lambda: job.done == 1)
    job.leave()
    assert (job.done, work.asked) == (1, 1), "it is not interrupted within a step"
    work.let.release()
    wait(lambda: work.stopped == 1)
    assert (job.done, job.result, job.error, job.ended) == (1, None, "", False)
    work.let.release(3)
    wait(job.ask)
    assert (job.result, work.begun, work.stopped) == ("done", 2, 1)


def test_what_one_leaves_goes_on_as_long_as_another_asks():
    work = Steps(2)
    job = Job(work)
    job.ask()
    work.let.release()
    wait(lambda: job.done == 1)
    job.leave()
    assert job.ask() is False  # somebody else, before the next step
    work.let.release()
    wait(job.ask)
    assert (job.result, work.begun, work.stopped) == ("done", 1, 0)


def test_to_leave_what_has_ended_or_not_begun_changes_nothing():
    work = Steps(1)
    job = Job(work)
    job.leave()
    assert (work.begun, job.ended) == (0, False)
    work.let.release()
    wait(job.ask)
    job.leave()
    assert (job.result, job.ask(), work.begun) == ("done", True, 1)


def test_what_cannot_be_computed_says_why_and_is_not_tried_again():
    tried = []

    def work(progress, stop):
        tried.append(1)
        raise MethodError("This head has no such thing.")

    job = Job(work)
    wait(job.ask)
    assert (job.error, job.result) == ("This head has no such thing.", None)
    assert job.ask() is True
    assert tried == [1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failure_that_nobody_foresaw_is_said_too():
    def work(progress, stop):
        raise ZeroDivisionError

    job = Job(work)
    wait(job.ask)
    assert job.error == "It failed: ZeroDivisionError."
