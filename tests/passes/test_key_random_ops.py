"""Keyed random ops give the same numbers for the same key, wherever they run, and others for any other key."""

import torch
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.runtime.executor import Program
from gossamer.runtime.random_calls import mixed
from gossamer.tests.passes.programs import check, check_stays

T = "tensor<64xf32>"
KEYS = ", ".join(f'%{n}: !aten.scalar<int, "{n}"> {{aten.name = "{n}", train.key}}' for n in ("seed", "number"))
INTS = '!aten.scalar<int, "seed">, !aten.scalar<int, "number">'


def before(*layers: int) -> str:
    """A function with one draw in each of these layers, -1 outside of all."""
    lines = [
        f'%d{i} = aten.call random "aten.bernoulli.p"(%x, 0.5) '
        + (f"attributes {{train.layer = {layer} : i64}} " if layer >= 0 else "")
        + f": ({T}) -> {T}"
        for i, layer in enumerate(layers)
    ]
    results = ", ".join(f"%d{i}" for i in range(len(layers)))
    types = ", ".join([T] * len(layers))
    return f"func.func @step(%x: {T} {{}}) -> ({types}) {{ {' '.join(lines)} func.return {results} : {types} }}"


def run(seed: int, number: int, *layers: int) -> list[torch.Tensor]:
    module = parse_text(before(*layers))
    run_pipeline(module, "key-random-ops")
    return Program.build(module, {}, "step")([torch.zeros(64), seed, number])


def test_a_draw_is_keyed_by_its_place_in_its_layer():
    after = f"""
    func.func @step(%x: {T} {{}}, {KEYS}) -> ({T}, {T}, {T}) {{
      %a = aten.call "random.keyed"(%seed, %number, 0, 2, device<"cpu">, op<"aten.bernoulli.p">, %x, 0.5)
        attributes {{train.layer = 2 : i64}} : ({INTS}, {T}) -> {T}
      %b = aten.call "random.keyed"(%seed, %number, 1, 2, device<"cpu">, op<"aten.bernoulli.p">, %x, 0.5)
        attributes {{train.layer = 2 : i64}} : ({INTS}, {T}) -> {T}
      %c = aten.call "random.keyed"(%seed, %number, 0, -1, device<"cpu">, op<"aten.bernoulli.p">, %x, 0.5)
        : ({INTS}, {T}) -> {T}
      func.return %a, %b, %c : {T}, {T}, {T}
    }}"""
    check("key-random-ops", before(2, 2, -1), after)


def test_what_draws_nothing_stays():
    check_stays("key-random-ops", f"func.func @step(%x: {T}) -> {T} {{ func.return %x : {T} }}")


def test_one_key_gives_one_result_and_the_stream_does_not_move():
    state = torch.get_rng_state()
    first = run(7, 3, 0, 0, 1)
    torch.rand(5)
    torch.set_rng_state(state)
    assert all(map(torch.equal, first, run(7, 3, 0, 0, 1)))
    assert torch.equal(torch.get_rng_state(), state)


def test_every_part_of_a_key_counts():
    a, b, c = run(7, 3, 0, 0, 1)
    assert not torch.equal(a, b)
    assert not torch.equal(a, c)
    assert not torch.equal(a, run(8, 3, 0)[0])
    assert not torch.equal(a, run(7, 4, 0)[0])


def test_keys_that_differ_little_are_mixed_far_apart():
    keys = {
        mixed(seed, step, place, layer)
        for seed in range(4)
        for step in range(9)
        for place in range(3)
        for layer in range(-1, 8)
    }
    assert len(keys) == 4 * 9 * 3 * 9
    assert all(0 <= key < 1 << 63 for key in keys)
    assert mixed(-1) == mixed((1 << 64) - 1)
