"""Repeated blocks are numbered through the model; what only looks like them is not."""

from gossamer.compiler.frontends.joint_layers import layer_of, layers
from torch import nn


class Block(nn.Module):
    def __init__(self, width: int = 4, biased: bool = False):
        super().__init__()
        self.up, self.down = nn.Linear(width, 8), nn.Linear(8, width)
        self.parts = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        if biased:
            self.table = nn.Embedding(3, width)


def model(**children: nn.Module) -> nn.Module:
    parent = nn.Module()
    for name, child in children.items():
        parent.add_module(name, child)
    return parent


def test_blocks_of_two_lists_are_numbered_one_after_the_other():
    both = model(encoder=nn.ModuleList([Block(), Block()]), decoder=model(h=nn.Sequential(Block(), Block(), Block())))
    assert layers(both) == {"encoder.0": 0, "encoder.1": 1, "decoder.h.0": 2, "decoder.h.1": 3, "decoder.h.2": 4}


def test_a_block_may_have_a_little_more_than_the_others():
    assert layers(model(h=nn.ModuleList([Block(biased=True), Block(), Block()]))) == {"h.0": 0, "h.1": 1, "h.2": 2}


def test_stages_of_other_widths_are_looked_into():
    stages = nn.ModuleList([nn.Sequential(Block(4), Block(4)), nn.Sequential(Block(6), Block(6))])
    assert layers(model(s=stages)) == {"s.0.0": 0, "s.0.1": 1, "s.1.0": 2, "s.1.1": 3}


def test_what_is_not_repeated_has_no_number():
    assert layers(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))) == {}
    assert layers(nn.Sequential(nn.ReLU(), nn.ReLU())) == {}
    assert layers(model(one=nn.ModuleList([nn.Linear(4, 4)]))) == {}
    assert layers(nn.Linear(4, 4)) == {}


def test_a_module_is_in_the_block_whose_path_begins_its_own():
    numbers = {"h.1": 1, "h.11": 11}
    assert layer_of("h.1", numbers) == 1
    assert layer_of("h.11.up", numbers) == 11
    assert layer_of("h", numbers) is None
    assert layer_of("", numbers) is None
