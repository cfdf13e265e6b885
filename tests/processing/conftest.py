"""What the tests of `processing` share: nothing is ever written to the checkout's own artifacts folder."""

import shutil
import threading
import time
import warnings
from dataclasses import replace

import pytest
from contracts import PLAIN, FakeSession
from images import ball, file_of

from processing.cancellation import CancelToken
from processing.models import ModelSpec, find_model
from processing.pipeline import run
from processing.recipe import Recipe
from processing.result import Result
from processing.sessions import Session
from processing.sessions.pool import SessionPool


@pytest.fixture(autouse=True)
def artifacts(tmp_path, monkeypatch):
    """Send results to a temporary folder, which is not made yet, and return it."""
    folder = tmp_path / "artifacts"
    monkeypatch.setenv("CUTOUT_ARTIFACTS", str(folder))
    return folder


@pytest.fixture(scope="session")
def compact() -> ModelSpec:
    return find_model("compact")


@pytest.fixture
def ball_file(tmp_path):
    """Write a picture with one clear subject and return its path."""
    path = tmp_path / "ball.png"
    path.write_bytes(file_of(ball()[0]))
    return path


@pytest.fixture
def fake_result():
    """Return a function that runs the pipeline with a mask in place of a model."""

    def make(picture=None, mask=None, name="ball.png", **options) -> Result:
        drawn, drawn_mask = ball(40, 60)
        picture = drawn if picture is None else picture
        data = picture if isinstance(picture, bytes) else file_of(picture)
        pool = SessionPool(lambda spec, provider: FakeSession(drawn_mask if mask is None else mask))
        return run(data, Recipe.from_options({**PLAIN, **options}), name=name, pool=pool)

    return make


@pytest.fixture(scope="session")
def rembg_home(tmp_path_factory):
    """Load rembg, and let it find its models in a temporary folder.

    The very first import on a machine compiles for over a minute, and other packages' warnings are not ours.
    """
    home = tmp_path_factory.mktemp("rembg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import rembg  # noqa: F401
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("U2NET_HOME", str(home))
        environment.setenv("REMBG_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def rembg_row(rembg_home, compact):
    """Return a row that runs the built-in weights through rembg's session for models of one's own."""
    weights = rembg_home / "compact.onnx"
    shutil.copy(compact.weights, weights)
    return replace(compact, name="zoo", runtime="rembg", session="u2net_custom", weights=weights, input_size=None)


@pytest.fixture(scope="session")
def endless_weights(tmp_path_factory):
    """Write a model that works for hours, in steps of microseconds: whoever waits for its end has not cancelled it.

    It takes any image and gives a matte of its size, so both runtimes can run it.
    """
    from onnx import TensorProto, checker, helper, save

    def value(name, *shape, kind=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, shape)

    step = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["still_on"]), helper.make_node("Sigmoid", ["matte"], ["next_matte"])],
        "step",
        [value("i", kind=TensorProto.INT64), value("go_on", kind=TensorProto.BOOL), value("matte", 1, 1, None, None)],
        [value("still_on", kind=TensorProto.BOOL), value("next_matte", 1, 1, None, None)],
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1], keepdims=1),
            helper.make_node("Loop", ["times", "start", "grey"], ["out"], body=step),
        ],
        "endless",
        [value("image", 1, 3, None, None)],
        [value("out", 1, 1, None, None)],
        [
            helper.make_tensor("times", TensorProto.INT64, [], [2**50]),
            helper.make_tensor("start", TensorProto.BOOL, [], [True]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model, full_check=True)
    path = tmp_path_factory.mktemp("endless") / "endless.onnx"
    save(model, path)
    return path


class BackgroundRun(threading.Thread):
    """A run of the endless model in a thread that does not keep the tests from ending when it cannot be cancelled."""

    def __init__(self, session: Session, tensor) -> None:
        super().__init__(daemon=True)
        self.token = CancelToken()
        self.error: BaseException | None = None
        self._predict = lambda: session.predict(tensor, self.token)
        self.start()

    def run(self) -> None:
        try:
            self._predict()
        except Exception as error:
            self.error = error

    def wait_until_in_flight(self) -> None:
        """Return once the processor was busy for half a second: what comes before the model takes a hundredth of it."""
        started = time.process_time()
        while self.is_alive() and time.process_time() - started < 0.5:
            time.sleep(0.01)
        assert self.is_alive(), f"the run ended by itself: {self.error!r}"

    def cancel(self) -> BaseException | None:
        """Cancel the run and return what it raised."""
        self.token.cancel()
        self.join(60)
        assert not self.is_alive(), "the run goes on although it was cancelled"
        return self.error


@pytest.fixture
def in_background():
    """Return the class of runs in the background."""
    return BackgroundRun
