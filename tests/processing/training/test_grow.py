import pytest

torch = pytest.importorskip("torch", reason="training needs the extra: pip install -e '.[training]'")

from processing.errors import DatasetError  # noqa: E402
from processing.training.grow import grow  # noqa: E402
from processing.training.network import WIDTHS, Network  # noqa: E402


@pytest.fixture
def small():
    """A network whose batch normalisations have seen something."""
    torch.manual_seed(1)
    network = Network("small")
    for _ in range(2):
        network(torch.randn(2, 3, 64, 64))
    return network.eval()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_grown_network_computes_what_the_smaller_one_did(small, width):
    large = Network(width)
    grow(small, large)
    picture = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(large.eval()(picture), small(picture), atol=1e-5, rtol=0)


def test_the_new_channels_learn(small):
    large = Network("medium")
    grow(small, large)
    sum(output.square().mean() for output in large(torch.randn(2, 3, 64, 64))).backward()
    for name, parameter in large.named_parameters():
        assert parameter.grad is not None, name
    listened = large.fall[1].enter[0]  # those that were there before: do they begin to listen to new channels?
    old_outputs, old_inputs = (WIDTHS["small"].fall[step] for step in (2, 1))
    assert listened.weight.grad[:old_outputs, old_inputs:].abs().max() > 0


def test_a_narrower_network_is_refused(small):
    with pytest.raises(DatasetError, match="narrower"):
        grow(Network("medium"), Network("small"))
