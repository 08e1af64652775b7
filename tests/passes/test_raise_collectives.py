"""Functional collectives of torch become starts and waits; what cannot be told stays the call that it is."""

import pytest
from gossamer.tests.passes.programs import check, check_stays

WAIT = "_c10d_functional.wait_tensor.default"
T, P = "tensor<4x8xf32>", "!comm.pending<tensor<4x8xf32>>"
HELD = f" holding %x : {T}"


def test_an_all_reduce_is_a_start_and_a_wait_that_keep_their_attributes():
    check(
        "raise-collectives",
        before=f"""
        func.func @step(%x: {T}) -> {T} {{
          %r = aten.call "_c10d_functional.all_reduce.default"(%x, "sum", "0")
              attributes {{train.phase = "forward", train.layer = 1}} : ({T}) -> {T}
          %y = aten.call "{WAIT}"(%r) attributes {{train.phase = "forward"}} : ({T}) -> {T}
          func.return %y : {T}
        }}""",
        after=f"""
        func.func @step(%x: {T}) -> {T} {{
          %p = comm.all_reduce sum %x in "0" {{train.phase = "forward", train.layer = 1}} : ({T}) -> {P}
          %y = comm.wait %p {{train.phase = "forward"}} : ({P}) -> {T}
          func.return %y : {T}
        }}""",
    )


@pytest.mark.parametrize(
    ("call", "start", "received", "held"),
    [
        ('all_gather_into_tensor.default"(%x, 2, "0")', 'all_gather %x in "0" of 2', "tensor<8x8xf32>", HELD),
        ('reduce_scatter_tensor.default"(%x, "avg", 2, "0")', 'reduce_scatter avg %x in "0" of 2', "tensor<2x8xf32>",
         HELD),
        ('all_to_all_single.default"(%x, [1, 2], [3, 1], "0")', 'all_to_all %x sends [3, 1] takes [1, 2] in "0"',
         "tensor<3x8xf32>", HELD),
        ('broadcast.default"(%x, 1, "0")', 'broadcast %x from 1 in "0"', T, ""),
    ],
)  # fmt: skip
def test_other_collectives(call: str, start: str, received: str, held: str):
    """What works on no copy of what it is given holds that until it is done."""
    check(
        "raise-collectives",
        before=f"""
        func.func @step(%x: {T}) -> {received} {{
          %r = aten.call "_c10d_functional.{call} : ({T}) -> {received}
          %y = aten.call "_c10d_functional.wait_tensor.default"(%r) : ({received}) -> {received}
          func.return %y : {received}
        }}""",
        after=f"""
        func.func @step(%x: {T}) -> {received} {{
          %p = comm.{start} : ({T}) -> !comm.pending<{received}>
          %y = comm.wait %p{held} : (!comm.pending<{received}>) -> {received}
          func.return %y : {received}
        }}""",
    )


def test_waits_out_of_turn_come_in_the_order_of_the_group():
    """The group does the first one first whoever is waited for."""
    check(
        "raise-collectives",
        before=f"""
        func.func @step(%x: {T}, %z: {T}) -> ({T}, {T}, {T}) {{
          %r = aten.call "_c10d_functional.all_reduce.default"(%x, "sum", "0") : ({T}) -> {T}
          %s = aten.call "_c10d_functional.all_reduce.default"(%x, "max", "1") : ({T}) -> {T}
          %t = aten.call "_c10d_functional.all_reduce.default"(%z, "sum", "0") : ({T}) -> {T}
          %a = aten.call "_c10d_functional.wait_tensor.default"(%t) : ({T}) -> {T}
          %b = aten.call "_c10d_functional.wait_tensor.default"(%s) : ({T}) -> {T}
          %c = aten.call "_c10d_functional.wait_tensor.default"(%r) : ({T}) -> {T}
          func.return %a, %b, %c : {T}, {T}, {T}
        }}""",
        after=f"""
        func.func @step(%x: {T}, %z: {T}) -> ({T}, {T}, {T}) {{
          %r = comm.all_reduce sum %x in "0" : ({T}) -> {P}
          %s = comm.all_reduce max %x in "1" : ({T}) -> {P}
          %t = comm.all_reduce sum %z in "0" : ({T}) -> {P}
          %c = comm.wait %r : ({P}) -> {T}
          %a = comm.wait %t : ({P}) -> {T}
          %b = comm.wait %s : ({P}) -> {T}
          func.return %a, %b, %c : {T}, {T}, {T}
        }}""",
    )


@pytest.mark.parametrize(
    "middle",
    [
        '"_c10d_functional.all_reduce.default"(%x, "bor", "0")',  # a reduction of bits
        '"_c10d_functional.all_reduce.default"(%x, "sum", %g)',  # a group that is an object
    ],
)
def test_what_cannot_be_told_stays(middle: str):
    operands = f"{T}, !aten.object<group>" if "%g" in middle else T
    check_stays(
        "raise-collectives",
        f"""
        func.func @step(%x: {T}, %g: !aten.object<"group">) -> {T} {{
          %r = aten.call {middle} : ({operands.replace("<group>", '<"group">')}) -> {T}
          %y = aten.call "_c10d_functional.wait_tensor.default"(%r) : ({T}) -> {T}
          func.return %y : {T}
        }}""",
    )


def test_a_result_that_is_read_beside_its_wait_stays():
    check_stays(
        "raise-collectives",
        f"""
        func.func @step(%x: {T}) -> {T} {{
          %r = aten.call "_c10d_functional.all_reduce.default"(%x, "sum", "0") : ({T}) -> {T}
          %y = aten.call "_c10d_functional.wait_tensor.default"(%r) : ({T}) -> {T}
          %z = aten.call "aten.add.Tensor"(%r, %y) : ({T}, {T}) -> {T}
          func.return %z : {T}
        }}""",
    )
