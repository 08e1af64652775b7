"""What is said of a training step: of its layers, as of the whole."""

import pytest
from gossamer.compiler.explain_memory import explain_memory
from gossamer.tests.passes.step_programs import module, step_of

OVERFILLED = """
builtin.module {
  func.func @step(%x: ROWS) -> (ROWS, ROWS) {
    %a = aten.call "aten.exp.default"(%x) attributes {train.phase = "forward", remat.name = "a", train.layer = 0 : i64, train.time = 4.0e-06 : f64} : (ROWS) -> ROWS
    %b = aten.call "aten.sin.default"(%a) attributes {remat.name = "b", train.layer = 1 : i64, train.time = 5.0e-06 : f64} : (ROWS) -> ROWS
    %p = comm.all_reduce sum %b in "0" {train.phase = "backward", comm.seconds = 1.0e-05 : f64, comm.efficiency = 5.0e-01 : f64} : (ROWS) -> !comm.pending<ROWS>
    %a1 = aten.call "aten.exp.default"(%x) attributes {remat.of = "a", remat.life = 1 : i64, remat.window = 0 : i64, train.layer = 0 : i64} : (ROWS) -> ROWS
    %b1 = aten.call "aten.sin.default"(%a1) attributes {remat.of = "b", remat.life = 1 : i64, remat.window = 0 : i64, train.layer = 1 : i64} : (ROWS) -> ROWS
    %o = aten.call "aten.cos.default"(%x) attributes {train.time = 1.0e-06 : f64} : (ROWS) -> ROWS
    %w = comm.wait %p : (!comm.pending<ROWS>) -> ROWS
    %d = aten.call "aten.mul.Tensor"(%b1, %w) : (ROWS, ROWS) -> ROWS
    func.return %d, %o : ROWS, ROWS
  }
}
"""  # noqa: E501 (one op, one line)


def test_no_more_is_hidden_than_a_window_has_room_for():
    """Half of 10 us can be used, of which other work takes one."""
    report = explain_memory(step_of(module(OVERFILLED)))
    assert report.recomputed == pytest.approx(9e-6)
    assert report.hidden == pytest.approx(4e-6)
    assert {layer.layer: layer.hidden for layer in report.layers} == pytest.approx({None: 0.0, 0: 4e-6, 1: 0.0})
    assert sum(layer.seconds for layer in report.layers) == pytest.approx(report.recomputed)
    (window,) = report.windows
    assert (window.other, window.again, window.left) == pytest.approx((1e-6, 9e-6, 0.0))


def test_what_moves_is_told_with_what_is_waited_for():
    """Out in 3 us behind two ops of 4; back in 2 us, of which the op before hides one."""
    program = module("""
    builtin.module {
      func.func @step(%x: ROWS) -> ROWS attributes {tier.link = {place = "/fast", out = 6.4e+07 : f64, back = 1.28e+08 : f64, latency = 1.0e-06 : f64, efficiency = 1.0 : f64}} {
        %a = aten.call "aten.exp.default"(%x) attributes {train.phase = "forward", train.path = "first", train.layer = 0 : i64, train.time = 4.0e-06 : f64} : (ROWS) -> ROWS
        %h = tier.offload %a to "/fast" : (ROWS) -> !tier.away<ROWS>
        %b = aten.call "aten.sin.default"(%a) attributes {train.time = 2.0e-06 : f64} : (ROWS) -> ROWS
        tier.offloaded %h of %a : !tier.away<ROWS>, ROWS
        %c = aten.call "aten.cos.default"(%b) attributes {train.phase = "backward", train.time = 4.0e-06 : f64} : (ROWS) -> ROWS
        %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<ROWS>) -> !comm.pending<ROWS>
        %d = aten.call "aten.neg.default"(%c) attributes {train.time = 1.0e-06 : f64} : (ROWS) -> ROWS
        %a1 = tier.fetched %p : (!comm.pending<ROWS>) -> ROWS
        %e = aten.call "aten.mul.Tensor"(%d, %a1) attributes {train.time = 1.0e-06 : f64} : (ROWS, ROWS) -> ROWS
        func.return %e : ROWS
      }
    }
    """)  # noqa: E501 (one op, one line)
    report = explain_memory(step_of(program))
    (move,) = report.moves
    assert (move.name, move.layer, move.bytes) == ("first", 0, 128)
    assert (move.leaves, move.gone, move.there) == ("a", "c", "e")
    assert (move.out, move.back) == pytest.approx((3e-6, 2e-6))
    assert move.waited == pytest.approx(1e-6 + 1e-6)
    assert (report.moving, report.exposed, report.hidden) == pytest.approx((5e-6, 2e-6, 3e-6))
    assert "0.000 ms computed again and 0.005 ms of moves: 0.003 ms hidden, 0.002 ms exposed" in str(report)
    assert "1 storages of 128 bytes in all move to /fast and back (0.06 GB/s out, 0.13 GB/s back, 1 us more" in str(
        report
    )
