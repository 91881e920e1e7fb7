import numpy as np
import pytest

from advisor.network.description import Builder, Layer, Network, network_shape
from advisor.space.families import DSCNN, TCN, MobileNet, ResNet
from advisor.space.prune import prune, prune_weights
from advisor.testing import FamilyContract, trained_weights
from specs.errors import SpecError


class TestDSCNN(FamilyContract):
    @pytest.fixture
    def family(self):
        return DSCNN()


class TestMobileNet(FamilyContract):
    @pytest.fixture
    def family(self):
        return MobileNet()


class TestResNet(FamilyContract):
    @pytest.fixture
    def family(self):
        return ResNet()


class TestTCN(FamilyContract):
    @pytest.fixture
    def family(self):
        return TCN()


def test_sequences_become_images_of_width_one():
    assert network_shape((64, 6)) == (64, 1, 6)
    assert network_shape((49, 10, 1), sequence=True) == (49, 1, 10)
    assert network_shape((49, 10, 1)) == (49, 10, 1)
    with pytest.raises(SpecError):
        network_shape((5,))


def test_ill_wired_network_is_refused():
    with pytest.raises(SpecError, match="ill-wired"):
        Network("x", (8, 8, 1), (Layer("a", "conv", ("nowhere",), out=4),))
    b = Builder("x", (8, 8, 1))
    first, second = b.conv(4), b.conv(8)
    with pytest.raises(SpecError, match="do not fit"):
        b.add(first, second)


def test_names_do_not_change_the_id():
    def network(prefix):
        layers = (
            Layer(f"{prefix}1", "conv", ("input",), out=4),
            Layer(f"{prefix}2", "global-pool", (f"{prefix}1",)),
            Layer(f"{prefix}3", "flatten", (f"{prefix}2",)),
            Layer(f"{prefix}4", "dense", (f"{prefix}3",), out=2),
        )
        return Network("x", (8, 8, 1), layers)

    assert network("a").id == network("b").id


def test_pruning_keeps_the_strongest_channels_of_tied_layers_together():
    network = ResNet().build({"width": 8, "blocks": 1, "groups": 2, "stem_stride": 1}, (8, 8, 1), 5)
    weights = trained_weights(network)
    tied = [la.name for la in network.layers if la.kind == "conv" and la.out == 8 and la.stage == 0]
    # the stem and the block's second convolution end in one addition: weaken the same channels of both
    for name in (tied[0], tied[2]):
        weights[f"{name}.kernel"][[1, 3, 5, 7]] *= 1e-3
    smaller = prune(network, [0.5, 0.0, 0.0])
    kept = prune_weights(network, weights, smaller)
    for name in (tied[0], tied[2]):
        np.testing.assert_array_equal(kept[f"{name}.gamma"], weights[f"{name}.gamma"][[0, 2, 4, 6]])


def test_pruning_nothing_is_the_same_network():
    network = DSCNN().build({"width": 16, "depth": 2, "kernel": 3, "stem_stride": 1, "growth": 1}, (8, 8, 1), 5)
    assert prune(network, (0.0, 0.0)) is network
