"""Tiles that talk are put side by side."""

from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.core import ProgramOp
from xdsl.dialects.builtin import ModuleOp

HEAD = """
aten.weight constant @a.tiles : tensor<16xi32> digest "00"
snn.network @n dt 1.0 { snn.population @a <16> : f32 i euler {r = 1.0 : f32} }
"""


def program(tiles: int, edges: list[tuple[int, int, float]], mesh: str = "<4, 4>", cores: int = 1) -> ModuleOp:
    """A program whose tiles exchange packets."""
    body = [f"core.tile {number} level 0 holds {{a = 1 : i64}} work 1.0" for number in range(tiles)]
    body += [f"core.edge {a} to {b} delays 1 to 1 axons 1 traffic {float(packets)}" for a, b, packets in edges]
    text = f"{HEAD} core.array @m mesh {mesh} cores {cores} {{}} core.program @n on @m neurons {{a = @a.tiles}} {{\n"
    return parse_text(text + "\n".join(body) + "\n}", "program.mlir")


def places(module: ModuleOp) -> list[int]:
    op = next(op for op in module.ops if isinstance(op, ProgramOp))
    return [tile.at.value.data for tile in op.tiles() if tile.at is not None]


def links(module: ModuleOp, edges: list[tuple[int, int, float]], width: int, cores: int = 1) -> float:
    at = [place // cores for place in places(module)]
    return sum(
        packets * (abs(at[a] % width - at[b] % width) + abs(at[a] // width - at[b] // width)) for a, b, packets in edges
    )


def test_a_ring_of_tiles_is_laid_out_as_a_ring():
    ring = [(i, (i + 1) % 16, 1.0) for i in range(16)]
    module = program(16, ring)
    run_pipeline(module, "place-cores")
    assert sorted(places(module)) == list(range(16))
    assert 16 <= links(module, ring, 4) <= 20


def test_tiles_that_talk_share_a_tile_of_the_mesh():
    pairs = [(i, i + 1, 10.0) for i in range(0, 8, 2)] + [(1, 2, 0.1), (3, 4, 0.1), (5, 6, 0.1)]
    module = program(8, pairs, "<2, 2>", cores=2)
    run_pipeline(module, "place-cores")
    assert links(module, pairs, 2, cores=2) < 1


def test_one_tile_and_none():
    for tiles in (0, 1):
        module = program(tiles, []) if tiles else parse_text(HEAD, "empty.mlir")
        run_pipeline(module, "place-cores")
        if tiles:
            assert len(places(module)) == 1


def test_places_are_the_same_every_time():
    edges = [(i, j, float((i * 7 + j * 3) % 5)) for i in range(10) for j in range(10) if i != j]
    found = []
    for _ in range(2):
        module = program(10, edges)
        run_pipeline(module, "place-cores")
        found.append(places(module))
    assert found[0] == found[1]
