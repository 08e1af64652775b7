"""What the table of ops holds.

    "times rows": Op("{0} * {1}{rows}", rows, 2)          v3 = v1 * v2[..., None]

| in the code        | stands for                                                              |
|--------------------|-------------------------------------------------------------------------|
| `{0}`, `{1}`       | operands                                                                |
| `{bool1}`          | operand 1 as truth values                                               |
| `{rows}`           | what brings operand 1 to the rank of operand 0: `[..., None]`           |
| `{p}`, `{p0}`      | the parameter, and its first word                                       |
| `{m}`              | the module that `state` makes: `self.m3`; several: `self.m3query`       |
| `{last}`, `{dtype}`| the last size of operand 0, and the model's dtype                       |
| `{r}`              | the result, where the code is more than an expression                   |
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .shapes import Rule


@dataclass(frozen=True)
class Op:
    """How an op is written, which operands it takes, and how often it is chosen.

    `code` may differ by parameter; `parameters` stand from the plainest on. `clears` is the code of the same op as it
    may be, too (README, Limits): NaN and Inf are zero in rows that a mask hides. What says when that is:

    "mask"       the last operand is made of masks alone; not where bits are compared
    "hidden"     keys that no query sees, whatever the mask is made of, and where bits are compared too
    "gate"       what a zero is multiplied with is taken to be finite; not with `strict_nan`
    "export"     torch.export writes the op otherwise

    `clears_more` is that code where still more is zero.     `writes`: it changes its first operand.
    """

    code: str | Mapping[str, str]
    rule: Rule
    arity: int = 1
    parameters: tuple[str, ...] = ("",)
    state: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0
    clears: str | Mapping[str, str] = ""
    clears_more: str | Mapping[str, str] = ""
    when: str = "mask"
    writes: bool = False
