"""What a run takes, to the byte: by storages, and as torch's allocator gives it out."""

import pytest
import torch
from gossamer.compiler.step_costs import metered
from gossamer.passes.solvers.recompute_memory import peak
from gossamer.runtime.allocations import allocations
from gossamer.runtime.executor import Program
from gossamer.runtime.metering import Meter, storages
from gossamer.runtime.stopwatch import seconds
from gossamer.tests.passes.step_programs import module, read, step_of
from xdsl.dialects.builtin import ModuleOp

X = torch.randn(4, 8)
ONE = 4 * 8 * 4
DROPPED = """builtin.module {
  func.func @step(%x: tensor<1000xf32>) -> (tensor<1000xf32>) {
    %y, %m = aten.call random "aten.native_dropout.default"(%x, 0.5, true) unpack
      : (tensor<1000xf32>) -> (tensor<1000xf32>, tensor<1000xi1>)
    func.return %y : tensor<1000xf32>
  } }"""
NESTED = """builtin.module {
  func.func @step(%x: ROWS, %p: tensor<i1>) -> (ROWS) {
    %y = aten.call "cond"(%p, region<0>, region<1>, [%x]) unpack {
    ^bb0(%a: ROWS):
      %b = aten.call "aten.exp.default"(%a) : (ROWS) -> ROWS
      %c = aten.call "aten.exp.default"(%b) : (ROWS) -> ROWS
      %d = aten.call "aten.exp.default"(%c) : (ROWS) -> ROWS
      aten.yield([%d]) : ROWS
    } {
    ^bb0(%a: ROWS):
      aten.yield([%a]) : ROWS
    } : (tensor<i1>, ROWS) -> (ROWS)
    func.return %y : ROWS
  } }"""


def test_a_storage_counts_from_the_op_that_makes_it_to_the_last_of_its_views():
    meter = metered(module(), {}, [X])
    assert meter.static == ONE
    assert [most for _, most in meter.peaks] == [2 * ONE, 3 * ONE, 3 * ONE, 3 * ONE + 4, 4 * ONE + 4, 4 * ONE + 4]
    assert meter.live == meter.static
    assert meter.peak == peak(read(module()).graph, read(module()).schedule)


def test_memory_given_twice_counts_once():
    assert Meter.over([X, X.view(32), X[:1], [X], 3]).static == ONE


def test_a_sparse_tensor_takes_what_its_indices_and_values_do():
    indices, values = torch.tensor([[0, 2], [1, 1]]), torch.ones(2)
    sparse = torch.sparse_coo_tensor(indices, values, (3, 3))
    assert sum(storage.nbytes() for storage in storages(sparse)) == 40
    meter = Meter()
    meter.begin(module())
    meter.end(module(), [sparse], [indices, values])
    assert meter.places.popitem()[1] == (("new", 40),)


def test_functions_of_an_op_are_part_of_it():
    program = module(NESTED)
    meter = metered(program, {}, [X, torch.tensor(True)])
    assert meter.peak == meter.static + 2 * ONE
    first = step_of(program).body.block.first_op
    assert first is not None
    assert meter.places[first] == (("new", ONE),)
    meter = metered(module(NESTED), {}, [X, torch.tensor(False)])
    assert meter.peak == meter.static


def test_the_allocator_sees_what_an_op_needs_while_it_runs():
    program = module(DROPPED)
    found = allocations(program, {}, [torch.randn(1000)], "step")
    outputs = 4000 + 1000
    (workspace,) = found.workspace.values()
    assert workspace >= 4000
    assert found.peak == outputs + workspace


def test_the_allocator_counts_what_the_meter_does_where_ops_need_nothing_else():
    found = allocations(module(), {}, [X], "step")
    meter = metered(module(), {}, [X])
    assert set(found.workspace.values()) == {0}
    assert found.peak == meter.peak - meter.static


UPDATED = """builtin.module {
  aten.weight buffer @b : ROWS digest "0"
  func.func @step(%x: ROWS) -> (ROWS) {
    %b = aten.parameter @b : ROWS
    %y = aten.call random "aten.rand_like.default"(%x) : (ROWS) -> ROWS
    %z = aten.call "aten.add.Tensor"(%b, %y) : (ROWS, ROWS) -> ROWS
    aten.update @b, %z : ROWS
    func.return %y : ROWS
  } }"""


def watched(program: ModuleOp, buffer: torch.Tensor) -> None:
    metered(program, {"b": buffer}, [X])
    allocations(program, {"b": buffer}, [X], "step")
    seconds(program, {"b": buffer}, [X], "step")


def test_watching_changes_nothing():
    buffer, state = torch.zeros(4, 8), torch.get_rng_state()
    watched(module(UPDATED), buffer)
    assert not buffer.any()
    assert torch.equal(state, torch.get_rng_state())
    with torch.no_grad():
        (drawn,) = Program.build(module(UPDATED), {"b": buffer}, "step")([X])
    assert torch.equal(buffer, drawn)


def test_every_op_has_a_time():
    runs: list[tuple[int, int]] = []
    found = seconds(module(), {}, [X], "step", runs=4, progress=lambda done, of: runs.append((done, of)))
    assert len(found) == 6
    assert all(0 < taken < 1 for taken in found.values())
    assert runs == [(n, 5) for n in range(1, 6)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_the_allocator_agrees():
    x = torch.randn(400, 800, device="cuda")
    program = module()
    found = allocations(program, {"x": x}, [x], "step")
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.no_grad():
        results = Program.build(program, {}, "step")([x])
    assert torch.cuda.max_memory_allocated() - before == found.peak
    assert len(results) == 2
