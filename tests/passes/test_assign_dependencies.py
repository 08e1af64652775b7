"""Slots, potentials, and what is refused."""

import pytest
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.core import Policy, ProgramOp
from gossamer.dialects.diagnostics import UserError
from xdsl.dialects.builtin import ModuleOp

HEAD = """
aten.weight constant @a.tiles : tensor<2xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <2> : f32 i euler {r = 1.0 : f32}
  snn.population @b <2> : f32 i euler {r = 1.0 : f32}
}
core.array @m mesh <2, 2> cores 1 {time = {tile = 1.0 : f64, hop_x = 2.0 : f64, hop_y = 3.0 : f64}}
"""


def program(*edges: tuple[int, int, int, int], at: bool = True) -> ModuleOp:
    """Three tiles; edges are (source, target, least delay, longest delay)."""
    tiles = ["a", "b", "b"]
    body = [
        f"core.tile {i} {f'at {i}' if at else ''} level 0 holds {{{name} = 1 : i64}} work 10.0"
        for i, name in enumerate(tiles)
    ]
    body += [f"core.edge {a} to {b} delays {low} to {high} axons 1 traffic 1.0" for a, b, low, high in edges]
    text = f"{HEAD} core.program @n on @m neurons {{a = @a.tiles}} {{\n" + "\n".join(body) + "\n}"
    return parse_text(text, "program.mlir")


def assigned(module: ModuleOp, pipeline: str = "assign-dependencies") -> ProgramOp:
    run_pipeline(module, pipeline)
    return next(op for op in module.ops if isinstance(op, ProgramOp))


def slots(op: ProgramOp) -> list[int]:
    return [edge.slots.value.data for edge in op.edges() if edge.slots is not None]


def test_every_edge_gets_slots_and_every_tile_a_potential():
    op = assigned(program((0, 1, 0, 0), (1, 2, 1, 3), (2, 0, 1, 1)))
    assert all(2 <= count <= 7 for count in slots(op))
    assert len(slots(op)) == 3
    assert all(tile.potential is not None for tile in op.tiles())
    assert op.policy is not None
    assert op.policy.data is Policy.DEPENDENCY


def test_slack_fixes_the_slots():
    op = assigned(program((0, 1, 0, 0), (1, 2, 1, 3)), 'assign-dependencies{slack=1 policy="group"}')
    assert slots(op) == [1, 4]
    assert op.policy is not None
    assert op.policy.data is Policy.GROUP


def test_a_cycle_without_delay_is_refused_with_the_names_on_it():
    with pytest.raises(UserError, match=r"tiles of @n wait for each other: .*\(a\).*\(b\)") as caught:
        run_pipeline(program((0, 1, 0, 0), (1, 0, 0, 0)), "assign-dependencies")
    assert "hold 0 tokens" in str(caught.value)


def test_too_few_slots_are_refused():
    with pytest.raises(UserError, match="wait for each other"):
        run_pipeline(program((0, 1, 1, 3)), "assign-dependencies{slack=-2}")


def test_slots_that_stop_only_a_longer_cycle_are_refused():
    edges = ((0, 1, 0, 2), (1, 2, 0, 2), (2, 0, 1, 1))
    with pytest.raises(UserError, match="wait for each other"):
        run_pipeline(program(*edges), "assign-dependencies{slack=0}")
    assert slots(assigned(program(*edges), "assign-dependencies{slack=1}")) == [3, 3, 2]


def test_tiles_without_places_and_programs_without_edges():
    assert slots(assigned(program((0, 1, 0, 0), at=False)))
    assert slots(assigned(program())) == []


def test_an_unknown_policy_is_refused():
    with pytest.raises(UserError, match="no policy 'groups'") as caught:
        run_pipeline(program(), 'assign-dependencies{policy="groups"}')
    assert "did you mean 'group'?" in str(caught.value)
