"""The tower as it was read and as it is used in float32: the same grids. Real weights from the package, no language model."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite_pytorch")

from torch import nn  # noqa: E402

from myvlm_engine.pocket.vision import STAGES, VisionTower, folded  # noqa: E402


@pytest.mark.parametrize("size", STAGES)
@pytest.mark.parametrize("shape", [(2, 3, 96, 96), (1, 3, 64, 160)])
def test_folded_into_its_convolutions_a_tower_sees_the_same(size, shape):
    tower = VisionTower("cpu", size)
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        read, found = tower.passed(pixels, tower.net), tower.passed(pixels, tower.folded)
    torch.testing.assert_close(found.head, read.head, atol=1e-3, rtol=1e-3)
    assert read.head.max() > 1 and found.stages.keys() == read.stages.keys() == STAGES[size].keys()
    for stride, stage in read.stages.items():
        torch.testing.assert_close(found.stages[stride], stage, atol=1e-3, rtol=1e-3)


def test_folding_leaves_the_network_as_it_was_and_no_normalisation_in_the_copy():
    tower = VisionTower("cpu", "lite0")
    before = {name: value.clone() for name, value in tower.net.state_dict().items()}
    copy = folded(tower.net)
    assert all(torch.equal(value, before[name]) for name, value in tower.net.state_dict().items())
    normalisations = lambda net: sum(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    assert normalisations(tower.net) > 40 and normalisations(copy) == 0


def test_bfloat16_is_computed_with_the_weights_as_they_were_read(monkeypatch):
    tower, used = VisionTower("cpu", "lite0"), []
    monkeypatch.setattr(tower, "passed", lambda pixels, net: used.append(net))
    for half in (True, False):
        tower.grids(torch.zeros(1, 3, 64, 64), half)
    assert used == [tower.net, tower.folded]
