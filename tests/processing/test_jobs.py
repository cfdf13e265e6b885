"""One queue of work for the whole process."""

import asyncio
import gc
import random
import threading
import time
import weakref
from collections import Counter

import pytest

from processing.errors import Cancelled, ImageError, QueueError
from processing.jobs import CANCELLED, DONE, FAILED, FINISHED, QUEUED, RUNNING, Job, JobQueue, LoopQueue, default_queue

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


@pytest.fixture
def seconds_left(monkeypatch):
    """Run a job by a fake clock: from (second, fraction reported then or None) to what is left at each of them."""

    def play(*moments):
        now, left = [100.0], []
        monkeypatch.setattr("processing.jobs.time.monotonic", lambda: now[0])

        def work(job):
            for second, fraction in moments:
                now[0] = 100.0 + second
                if fraction is not None:
                    job.report("Working", fraction)
                left.append(job.time_left_s())

        job = Job(work)
        assert job.time_left_s() is None
        job.run()
        assert job.error is None
        return left

    return play


def test_time_left_is_guessed_from_the_speed_so_far(seconds_left):
    assert seconds_left((6, 0.25), (7, None), (10, 0.5)) == [18, 17, 10]


def test_time_left_is_not_guessed_before_a_fair_part_is_done_and_time_has_passed(seconds_left):
    assert seconds_left((0.5, 0.0001), (1.9, 0.5), (2, None), (5, 0.5)) == [None] * 4
    assert seconds_left((3, 0.09), (4, 0.1)) == [None, 36]


def test_time_left_never_rises(seconds_left):
    left = seconds_left((2, 0.4), (2.5, 0.41), (3, 0.42), (4, 0.43), (4.5, 0.8))
    assert left == pytest.approx([3, 2.5, 2, 1, 0.5])


def test_time_left_is_not_told_any_more_once_the_guessed_end_has_passed(seconds_left):
    assert seconds_left((2, 0.5), (4, 0.5), (4.1, 0.5), (30, 0.6)) == [2, 0, None, None]


def test_step_that_repeats_itself_is_no_speed(seconds_left):
    left = seconds_left((0.5, 0.2), (2, 0.2), (30, 0.2), (40, 0.5))
    assert left == [None, None, None, 40]


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


# Fairness, whatever comes when


class Drawn:
    """A queue that starts a job when it is told to, and a random crowd of owners who submit and cancel.

    The queue's threads are replaced: `start_next` does what a worker would do next.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.queue = JobQueue(max_per_owner=1000)
        self.queue._executor.shutdown()
        self.queue._executor = self
        self.jobs, self.started = [], []
        self.submitted_at = {}  # job to how many had been started then

    def submit(self, call):
        """Stand for the executor, which gets one call for each job."""

    def arrive(self):
        job = self.queue.submit(self.started.append, owner=self.random.choice("aaaabbc"))
        self.submitted_at[job] = len(self.started)
        self.jobs.append(job)

    def cancel_one(self):
        if self.jobs:
            self.random.choice(self.jobs).cancel()

    def start_next(self):
        self.queue._run_next()

    def live(self, moments):
        for _ in range(moments):
            self.random.choice([self.arrive, self.arrive, self.cancel_one, self.start_next])()


@pytest.mark.parametrize("seed", range(50))
def test_position_is_the_number_of_jobs_that_start_before(seed):
    drawn = Drawn(seed)
    drawn.live(60)
    waiting = [job for job in drawn.jobs if job.state == QUEUED]
    positions = {job: drawn.queue.position(job) for job in waiting}
    assert all(drawn.queue.position(job) == 0 for job in drawn.jobs if job not in waiting)
    drawn.started.clear()
    for _ in drawn.jobs:
        drawn.start_next()
    assert [positions[job] for job in drawn.started] == list(range(len(waiting)))


@pytest.mark.parametrize("seed", range(50))
def test_nobody_gets_two_turns_while_another_owner_waits_for_one(seed):
    drawn = Drawn(seed)
    drawn.live(150)
    last_turn = {}
    for number, job in enumerate(drawn.started):
        first_in_line_since = max(drawn.submitted_at[job], last_turn.get(job.owner, 0))
        turns = Counter(other.owner for other in drawn.started[first_in_line_since:number])
        assert all(count == 1 for owner, count in turns.items() if owner != job.owner)
        assert turns[job.owner] == 0
        last_turn[job.owner] = number + 1
    assert len(drawn.started) > 10


def test_jobs_of_one_owner_start_in_the_order_of_arrival():
    drawn = Drawn(0)
    drawn.live(300)
    for owner in "abc":
        mine = [drawn.jobs.index(job) for job in drawn.started if job.owner == owner]
        assert mine == sorted(mine)
        assert mine


def test_five_waiting_jobs_delay_another_owners_job_by_one(queue, blocker):
    order = []
    crowd = [queue.submit(lambda job, i=i: order.append(f"anna {i}"), owner="anna") for i in range(5)]
    single = queue.submit(lambda job: order.append("ben"), owner="ben")
    assert queue.position(single) == 1
    blocker[1].set()
    for job in [*crowd, single]:
        finished(job)
    assert order == ["anna 0", "ben", "anna 1", "anna 2", "anna 3", "anna 4"]


# Limits and finding again


@pytest.mark.parametrize("end", [DONE, FAILED, CANCELLED])
def test_place_of_a_running_job_is_free_again_when_it_ends(end):
    queue, started, go_on = JobQueue(max_per_owner=1), threading.Event(), threading.Event()

    def work(job):
        started.set()
        assert go_on.wait(PATIENCE_S)
        job.cancel_token.raise_if_cancelled()
        return 1 / (end == DONE)

    job = queue.submit(work, owner="anna")
    assert started.wait(PATIENCE_S)
    if end == CANCELLED:
        job.cancel()  # it goes on until its next look, and counts so long
    with pytest.raises(QueueError, match=r"You have 1 jobs? .*Wait until one is done, or cancel one, and retry"):
        queue.submit(lambda job: None, owner="anna")
    go_on.set()
    assert finished(job).state == end
    assert finished(queue.submit(lambda job: "next", owner="anna")).result == "next"
    queue._executor.shutdown()


def test_place_of_a_waiting_job_is_free_again_when_it_is_cancelled(queue, blocker):
    queue.max_per_owner = 3
    for _ in range(10):
        jobs = [queue.submit(lambda job: None, owner="anna") for _ in range(3)]
        with pytest.raises(QueueError):
            queue.submit(lambda job: None, owner="anna")
        for job in jobs:
            job.cancel()
    assert queue.find("anna", "") is None
    assert queue.position(queue.submit(lambda job: None, owner="anna")) == 0


def test_refused_job_is_not_in_the_queue(queue, blocker):
    queue.max_per_owner = 1
    accepted = queue.submit(lambda job: None, owner="anna", kind="run")
    with pytest.raises(QueueError):
        queue.submit(lambda job: pytest.fail("a refused job ran"), owner="anna", kind="save")
    assert queue.find("anna", "save") is None
    blocker[1].set()
    assert finished(accepted).state == DONE
    assert finished(queue.submit(lambda job: "next", owner="ben")).result == "next"


def test_running_job_is_found_when_no_newer_one_waits(queue):
    started, go_on = threading.Event(), threading.Event()

    def work(job):
        started.set()
        assert go_on.wait(PATIENCE_S)

    running = queue.submit(work, owner="anna", kind="run", payload="photo")
    assert started.wait(PATIENCE_S)
    waiting = queue.submit(lambda job: None, owner="anna", kind="run")
    assert queue.find("anna", "run") is waiting
    waiting.cancel()
    assert queue.find("anna", "run") is running
    assert running.payload == "photo"
    go_on.set()
    finished(running)
    assert queue.find("anna", "run") is None


@pytest.mark.parametrize("end", [DONE, FAILED, CANCELLED, "cancelled while waiting"])
def test_payload_is_kept_until_the_job_ends(queue, blocker, end):
    seen = []

    def work(job):
        seen.append(job.payload)
        if end == FAILED:
            raise ImageError("The photo is broken.")
        if end == CANCELLED:
            raise Cancelled("Cancelled.")

    job = queue.submit(work, payload="photo")
    assert job.payload == "photo"
    if end == "cancelled while waiting":
        job.cancel()
    blocker[1].set()
    assert finished(job).payload is None
    assert seen == ([] if end == "cancelled while waiting" else ["photo"])


def test_job_cancelled_between_its_turn_and_its_start_never_runs():
    job = Job(lambda job: pytest.fail("a cancelled job ran"))
    job.cancel()
    job.run()
    assert (job.state, job.result, job.error) == (CANCELLED, None, None)


@pytest.mark.parametrize("seed", range(5))
def test_every_job_ends_whatever_another_thread_cancels(seed):
    queue, draw, jobs = JobQueue(workers=2, max_per_owner=1000), random.Random(seed), []
    one_is_cancelled = threading.Event()

    def work(job):
        assert one_is_cancelled.wait(PATIENCE_S)
        for _ in range(4):
            job.cancel_token.raise_if_cancelled()
            time.sleep(0.0002)
        if draw.random() < 0.2:
            raise ImageError("The photo is broken.")
        return "cutout"

    def cancel():
        for _ in range(60):
            draw.choice(jobs[2:]).cancel()
            one_is_cancelled.set()
            time.sleep(0.0003)

    canceller = threading.Thread(target=cancel)
    for number in range(200):
        jobs.append(queue.submit(work, owner=draw.choice("abc"), kind="run", payload="photo"))
        if number == 50:  # two run, the rest waits
            canceller.start()
    canceller.join(PATIENCE_S)
    for job in jobs:
        finished(job)
    ends = Counter(job.state for job in jobs)
    assert set(ends) <= set(FINISHED)
    assert ends[CANCELLED]
    assert ends[DONE] + ends[FAILED] >= 2  # the first two are never cancelled
    for job in jobs:
        assert (job.result, job.payload, job.is_finished) == ("cutout" if job.state == DONE else None, None, True)
        assert isinstance(job.error, ImageError) == (job.state == FAILED)
        assert job.cancel_token.is_cancelled or job.state != CANCELLED
    assert all(queue.find(owner, "run") is None for owner in "abc")
    assert all(queue.position(job) == 0 for job in jobs)
    assert finished(queue.submit(lambda job: "next", owner="a")).result == "next"  # both workers are still there
    queue._executor.shutdown()
    assert not queue._running


def test_on_the_event_loop_jobs_run_one_after_the_other_without_a_thread():
    order = []

    async def task(job, name):
        order.append(f"{name} begins")
        job.report("Working", 0.5)
        await asyncio.sleep(0)
        order.append(f"{name} ends")
        return name.upper()

    async def scenario():
        queue = LoopQueue()
        jobs = [queue.submit(lambda job, name=name: task(job, name)) for name in ("a", "b")]
        assert [job.state for job in jobs] == [QUEUED, QUEUED]
        await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs))
        return jobs

    before = threading.active_count()
    jobs = asyncio.run(scenario())
    assert threading.active_count() == before
    assert order == ["a begins", "a ends", "b begins", "b ends"]
    assert [(job.state, job.result) for job in jobs] == [(DONE, "A"), (DONE, "B")]


def test_on_the_event_loop_a_job_fails_and_is_cancelled_as_elsewhere(caplog):
    async def fail(job):
        raise ImageError("broken")

    async def wait(job):
        while True:
            job.cancel_token.raise_if_cancelled()
            await asyncio.sleep(0.001)

    async def scenario():
        queue = LoopQueue()
        failed, running, waiting = queue.submit(fail, owner="anna"), queue.submit(wait), queue.submit(wait)
        await asyncio.wrap_future(failed.future)
        await asyncio.sleep(0.01)
        assert [running.state, waiting.state, queue.position(waiting)] == [RUNNING, QUEUED, 0]
        waiting.cancel()
        running.cancel()
        await asyncio.wrap_future(running.future)
        again = queue.submit(fail)
        await asyncio.wrap_future(again.future)
        return failed, running, waiting, again

    jobs = asyncio.run(scenario())
    assert [job.state for job in jobs] == [FAILED, CANCELLED, CANCELLED, FAILED]
    assert isinstance(jobs[0].error, ImageError)
