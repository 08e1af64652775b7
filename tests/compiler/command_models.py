"""A program and models for tests of the command line, as texts of files."""

TEXT = """
func.func @f(%a: i32) -> i32 {
  %b = arith.addi %a, %a : i32
  %c = arith.addi %a, %a : i32
  %d = arith.muli %b, %c : i32
  func.return %d : i32
}
"""

MODEL = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x, mask):
        y = self.second(torch.relu(self.first(x))) * mask.unsqueeze(-1)
        return {"y": y, "pooled": y.sum(1)}


def build():
    torch.manual_seed(0)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    return Model().eval(), (torch.randn(2, 3, 8),), {"mask": mask}, {"dont_care": {"y": "mask"}}


def fails():
    value = 1 / 0
    return value


def interrupts():
    raise KeyboardInterrupt


def leaves():
    raise SystemExit(3)


def returns_nothing():
    pass


def returns_one():
    return Model()


def returns_text_as_args():
    return Model(), "x"


def returns_no_model():
    return 7, (torch.zeros(1),)


def returns_unknown_option():
    return Model(), (torch.zeros(2, 3, 8), torch.ones(2, 3)), {}, {"dont_cair": {}}


not_a_function = 3
"""


def headings(text: str) -> list[str]:
    return [line[11:-11] for line in text.splitlines() if line.startswith("// -----//")]
