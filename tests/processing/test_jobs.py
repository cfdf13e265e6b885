"""One queue of work for the whole process."""

import gc
import threading
import weakref

import pytest

from processing.errors import Cancelled, ImageError, QueueError
from processing.jobs import CANCELLED, DONE, FAILED, FINISHED, QUEUED, RUNNING, Job, JobQueue, default_queue

PATIENCE_S = 10


@pytest.fixture
def queue():
    queue = JobQueue(max_per_owner=50)
    yield queue
    queue._executor.shutdown(cancel_futures=True)


@pytest.fixture
def blocker(queue):
    """Keep the queue's only worker busy: a running job, and the event that ends it."""
    started, go_on = threading.Event(), threading.Event()

    def block(job):
        started.set()
        assert go_on.wait(PATIENCE_S)

    job = queue.submit(block)
    assert started.wait(PATIENCE_S)
    yield job, go_on
    go_on.set()


def finished(job: Job) -> Job:
    job.future.result(PATIENCE_S)
    return job


def test_job_gives_what_its_task_returned(queue):
    job = finished(queue.submit(lambda job: 42))
    assert (job.state, job.result, job.error, job.fraction) == (DONE, 42, None, 1.0)
    assert job.is_finished


def test_task_is_given_its_job(queue):
    job = queue.submit(lambda job: job)
    assert finished(job).result is job


def test_jobs_run_one_after_the_other_in_the_order_of_arrival(queue, blocker):
    order = []
    jobs = [queue.submit(lambda job, i=i: order.append(i)) for i in range(20)]
    assert [job.state for job in jobs] == [QUEUED] * 20
    blocker[1].set()
    for job in jobs:
        finished(job)
    assert order == list(range(20))


def test_two_workers_run_two_jobs_at_the_same_time():
    queue, meeting = JobQueue(workers=2), threading.Barrier(2)
    jobs = [queue.submit(lambda job: meeting.wait(PATIENCE_S)) for _ in range(2)]
    assert [finished(job).state for job in jobs] == [DONE, DONE]
    queue._executor.shutdown()


def test_position_counts_the_jobs_that_wait_before(queue, blocker):
    running, go_on = blocker
    jobs = [queue.submit(lambda job: None) for _ in range(3)]
    assert queue.position(running) == 0
    assert [queue.position(job) for job in jobs] == [0, 1, 2]
    jobs[1].cancel()
    assert [queue.position(job) for job in jobs] == [0, 0, 1]
    go_on.set()
    for job in jobs:
        finished(job)
    assert [queue.position(job) for job in jobs] == [0, 0, 0]


def test_queued_job_is_cancelled_at_once_and_never_runs(queue, blocker):
    job = queue.submit(lambda job: pytest.fail("a cancelled job ran"))
    job.cancel()
    assert job.state == CANCELLED
    assert job.future.done()
    blocker[1].set()
    assert finished(queue.submit(lambda job: "next")).result == "next"
    assert (job.state, job.result, job.error) == (CANCELLED, None, None)


def test_running_job_is_cancelled_at_its_next_look(queue):
    started, go_on = threading.Event(), threading.Event()

    def work(job):
        started.set()
        assert go_on.wait(PATIENCE_S)
        job.cancel_token.raise_if_cancelled()
        pytest.fail("it went on")

    job = queue.submit(work)
    assert started.wait(PATIENCE_S)
    job.cancel()
    assert job.state == RUNNING
    assert not job.future.done()
    go_on.set()
    assert finished(job).state == CANCELLED
    assert job.error is None


@pytest.mark.parametrize("state", [DONE, FAILED])
def test_cancelling_a_finished_job_changes_nothing(queue, state):
    job = finished(queue.submit(lambda job: 1 / (state == DONE)))
    job.cancel()
    assert job.state == state


def test_error_of_a_task_is_kept_and_the_queue_goes_on(queue):
    error = ImageError("photo.png is empty.")

    def fail(job):
        raise error

    job = finished(queue.submit(fail))
    assert (job.state, job.result) == (FAILED, None)
    assert job.error is error
    assert finished(queue.submit(lambda job: "next")).result == "next"


@pytest.mark.parametrize("error", [Cancelled, ImageError, ZeroDivisionError, MemoryError, SystemExit])
def test_job_always_ends(queue, error):
    def fail(job):
        raise error("reason")

    job = finished(queue.submit(fail))
    assert job.state in FINISHED
    assert finished(queue.submit(lambda job: "next")).result == "next"


def test_report_is_seen_from_outside(queue):
    reported, go_on = threading.Event(), threading.Event()

    def work(job):
        job.report("Finding the subject", 0.25)
        reported.set()
        assert go_on.wait(PATIENCE_S)

    job = queue.submit(work)
    assert reported.wait(PATIENCE_S)
    assert (job.state, job.step, job.fraction) == (RUNNING, "Finding the subject", 0.25)
    go_on.set()
    finished(job)


def test_time_left_is_guessed_from_the_speed_so_far(monkeypatch):
    now = iter([100.0, 106.0])  # started; asked six seconds later
    monkeypatch.setattr("processing.jobs.time.monotonic", lambda: next(now))
    left = []

    def work(job):
        left.append(job.time_left_s())  # nothing to go by yet
        job.report("Half of a half", 0.25)
        left.append(job.time_left_s())

    job = Job(work)
    assert job.time_left_s() is None
    job.run()
    assert left == [None, 18.0]


# Several owners


def test_owners_take_turns(queue, blocker):
    order = []
    jobs = [
        queue.submit(lambda job, name=f"{owner}{i}": order.append(name), owner=owner)
        for owner in "ab"
        for i in range(3)
    ]
    jobs.append(queue.submit(lambda job: order.append("c0"), owner="c"))
    assert [queue.position(job) for job in jobs] == [0, 3, 5, 1, 4, 6, 2]
    blocker[1].set()
    for job in jobs:
        finished(job)
    assert order == ["a0", "b0", "c0", "a1", "b1", "a2", "b2"]


def test_owner_may_not_fill_the_queue(blocker):
    queue, go_on = JobQueue(max_per_owner=2), threading.Event()
    jobs = [queue.submit(lambda job: go_on.wait(PATIENCE_S), owner="anna") for _ in range(2)]
    with pytest.raises(QueueError, match="2 jobs in the queue, which is the limit"):
        queue.submit(lambda job: None, owner="anna")
    jobs.append(queue.submit(lambda job: None, owner="ben"))
    jobs[1].cancel()
    jobs.append(queue.submit(lambda job: None, owner="anna"))  # a cancelled job counts no more
    go_on.set()
    assert [finished(job).state for job in jobs] == [DONE, CANCELLED, DONE, DONE]
    queue.submit(lambda job: None, owner="anna")  # nor do finished ones
    queue._executor.shutdown()


def test_owner_finds_their_newest_unfinished_job_of_a_kind(queue, blocker):
    run = queue.submit(lambda job: None, owner="anna", kind="run", payload="photo")
    newer = queue.submit(lambda job: None, owner="anna", kind="run")
    queue.submit(lambda job: None, owner="anna", kind="save")
    assert queue.find("anna", "run") is newer
    assert queue.find("ben", "run") is None
    newer.cancel()
    assert queue.find("anna", "run") is run
    blocker[1].set()
    finished(run)
    assert queue.find("anna", "run") is None


class Photo:
    """Something heavy that a task holds; can be referred to weakly."""

    def read(self):
        raise ValueError


@pytest.mark.parametrize("end", [DONE, FAILED, CANCELLED])
def test_finished_job_lets_go_of_the_photo(queue, end):
    photo = Photo()
    alive = weakref.ref(photo)

    def work(job, photo=photo):
        if end == FAILED:
            try:
                photo.read()
            except ValueError as error:
                raise ImageError("The photo is broken.") from error
        if end == CANCELLED:
            raise Cancelled("Cancelled.")

    job = queue.submit(work)
    del photo, work
    assert finished(job).state == end
    finished(queue.submit(lambda job: None))  # so the worker has left the job behind
    gc.collect()
    assert alive() is None


def test_job_cancelled_in_the_queue_lets_go_of_the_photo(queue, blocker):
    photo = Photo()
    alive = weakref.ref(photo)
    job = queue.submit(lambda job, photo=photo: None)
    job.cancel()
    del photo
    gc.collect()
    assert alive() is None


def test_state_is_final_when_the_future_is_told(queue, blocker):
    seen = []
    job = queue.submit(lambda job: 42)
    job.future.add_done_callback(lambda future: seen.append((job.state, job.result)))
    blocker[1].set()
    finished(job)
    finished(queue.submit(lambda job: None))
    assert seen == [(DONE, 42)]


def test_process_has_one_queue():
    assert default_queue() is default_queue()
