import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra: pip install -e '.[training]'")

from processing.training import losses  # noqa: E402


@pytest.fixture
def disc():
    rows, columns = np.mgrid[:64, :64]
    return torch.from_numpy(((rows - 30) ** 2 + (columns - 34) ** 2 < 200).astype(np.float32))[None, None]


def test_box_is_the_mean_of_its_window():
    values = torch.rand(2, 3, 12, 14, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(losses.box(values, 5), torch.nn.functional.avg_pool2d(values, 5, 1), atol=1e-6)


def test_edges_weigh_more_than_flat_parts(disc):
    weight = losses.edge_weight(disc)
    assert weight.shape == disc.shape
    assert weight[0, 0, 0, 0] == 1
    assert 2.5 < weight.max() < 6


@pytest.mark.parametrize("loss", [losses.structure, losses.hybrid])
def test_the_truth_costs_next_to_nothing_and_its_opposite_most(disc, loss):
    sure = (disc * 2 - 1) * 20
    right, unsure, wrong = (float(loss(logits, disc)) for logits in (sure, torch.zeros_like(disc), -sure))
    assert right < 0.01
    assert right < unsure < wrong


def test_similarity_sees_structure_and_gradient_sees_soft_edges(disc):
    blurred = torch.nn.functional.avg_pool2d(disc, 5, 1, 2)
    assert float(losses.similarity(disc, disc)) == pytest.approx(0, abs=1e-5)
    assert float(losses.similarity(blurred, disc)) > 0.05
    assert float(losses.gradient(disc, blurred)) > float(losses.gradient(blurred, blurred)) == 0


def test_an_empty_truth_punishes_what_is_seen():
    empty = torch.zeros(1, 1, 64, 64)
    assert float(losses.hybrid(empty - 16, empty)) < 0.01 < 1 < float(losses.hybrid(empty + 1, empty))


def test_a_doubtful_pixel_costs_least_near_its_odds_and_decisive_moves_that_towards_one():
    truth = (torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) < 0.7).float()

    def best(decisive):
        """Find the one value for all pixels, seven in ten of which are the subject's, that costs least."""
        values = torch.linspace(0.01, 0.99, 99)
        costs = [float(losses.hybrid(torch.full_like(truth, value).logit(), truth, decisive)) for value in values]
        return float(values[int(np.argmin(costs))])

    odds, decided = best(0.0), best(8.0)
    assert 0.6 < odds < 0.8
    assert decided > 0.87


def test_the_total_has_one_value_for_each_sample(disc):
    truth = torch.cat([disc, disc])
    outputs = tuple(torch.zeros(2, 1, side, side) for side in (64, 16, 8, 4))
    assert losses.total(outputs, truth).shape == (2,)
