"""Long computations beside the pages."""

from __future__ import annotations

import threading
import time

import pytest

from explorer.errors import MethodError, StoppedError
from explorer.ui import jobs
from explorer.ui.jobs import Job

SOON = 10.0  # seconds


def wait_for(is_true) -> None:
    deadline = time.monotonic() + SOON
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_job_gives_its_result_and_says_how_far_it_is():
    go_on = threading.Event()

    def work(progress, stop):
        progress(3, 10)
        go_on.wait(SOON)
        return "result"

    job = Job(work)
    assert not job.ended
    assert not job.ask()
    wait_for(lambda: (job.done, job.total) == (3, 10))
    assert not job.ask()
    go_on.set()
    wait_for(job.ask)
    assert job.result == "result"
    assert job.error == ""


def test_it_is_computed_once_however_often_it_is_asked_for():
    started = []
    job = Job(lambda progress, stop: started.append(1) or "result")
    wait_for(job.ask)
    for _ in range(5):
        assert job.ask()
    assert started == [1]


def test_what_nobody_asks_for_any_more_stops_and_starts_again_when_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(jobs, "PATIENCE", 0.05)
    started, ended = [], []

    def work(progress, stop):
        started.append(1)
        if len(started) > 1:
            return "result"
        try:
            wait_for(stop)
        finally:
            ended.append(1)
        raise StoppedError("Stopped.")

    job = Job(work)
    job.ask()
    wait_for(lambda: ended == [1])
    wait_for(lambda: not job._thread.is_alive())
    assert not job.ended
    wait_for(job.ask)
    assert (started, job.result, job.error) == ([1, 1], "result", "")


def test_as_long_as_it_is_asked_for_it_goes_on(monkeypatch):
    monkeypatch.setattr(jobs, "PATIENCE", 0.3)
    told = []

    def work(progress, stop):
        for _ in range(60):
            time.sleep(0.01)
            told.append(stop())
        return "result"

    job = Job(work)
    wait_for(job.ask)
    assert job.result == "result"
    assert not any(told)


def test_an_error_is_its_sentence_and_the_job_has_ended():
    def work(progress, stop):
        raise MethodError("It cannot be had.")

    job = Job(work)
    wait_for(job.ask)
    assert (job.result, job.error) == (None, "It cannot be had.")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_unexpected_error_ends_it_with_a_sentence_too():
    job = Job(lambda progress, stop: 1 / 0)
    wait_for(job.ask)
    assert job.error == "It failed: ZeroDivisionError."
