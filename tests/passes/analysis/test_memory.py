"""The table of views is as long as torch's own list of them, and what leaves a function is followed through it."""

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.dialects.aten import CallOp
from gossamer.passes.analysis.memory import (
    OVERLAPPING,
    STRIDE_READERS,
    UNDECLARED,
    VIEWS,
    is_dense,
    is_functional,
    is_new,
    leaves,
    reads_strides,
)
from torch.utils._pytree import tree_leaves
from xdsl.dialects.func import FuncOp


def overload(schema: torch.FunctionSchema) -> str:
    return f"{schema.name.replace('::', '.')}.{schema.overload_name or 'default'}"


SCHEMAS = {overload(s): s for s in torch._C._jit_get_all_schemas() if s.name.startswith("aten::")}


def holds_tensors(type: object) -> bool:
    return "Tensor" in str(type) and "Dict" not in str(type)


def gives_an_argument_back(schema: torch.FunctionSchema) -> bool:
    """Does the schema say that a result is memory of a tensor argument, and that none is written?"""
    given = any(a.alias_info and holds_tensors(a.type) for a in schema.arguments)
    return given and not schema.is_mutable and any(r.alias_info for r in schema.returns)


def test_every_view_of_torch_is_in_the_table():
    assert not sorted({name for name, schema in SCHEMAS.items() if gives_an_argument_back(schema)} - VIEWS)


def test_every_name_in_the_tables_is_an_overload_of_torch():
    assert not sorted((VIEWS | STRIDE_READERS | OVERLAPPING) - set(SCHEMAS))


def test_what_overlaps_is_a_view():
    assert OVERLAPPING <= VIEWS


X, N = torch.randn(2, 3), torch.ones(2, 3, dtype=torch.int64)
SILENT = {
    "aten._unsafe_view.default": (X, [3, 2]),
    "aten.unsafe_chunk.default": (X, 2),
    "aten.unsafe_split.Tensor": (X, 1),
    "aten.unsafe_split_with_sizes.default": (X, [1, 1]),
    **{f"aten.atleast_{k}d.default": (X,) for k in (1, 2, 3)},
    **{f"aten.atleast_{k}d.Sequence": ([X],) for k in (1, 2, 3)},
    "aten.meshgrid.default": ([X[0], X[1]],),
    "aten.meshgrid.indexing": ([X[0], X[1]],),
    "aten.broadcast_tensors.default": ([X, X],),
    "aten.cartesian_prod.default": ([X[0]],),
    "aten.flatten_dense_tensors.default": ([X],),
    "aten.unflatten_dense_tensors.default": (X.view(6), [X]),
    "aten.einsum.default": ("ij->ji", [X]),
    "aten.type_as.default": (X, X),
    "aten.to_dense.default": (X,),
    "aten.dequantize.self": (X,),
    "aten.sum_to_size.default": (X, [2, 3]),
    "aten.conj_physical.default": (X,),
    "aten._cast_Byte.default": (N.to(torch.uint8),),
    "aten._cast_Char.default": (N.to(torch.int8),),
    "aten._cast_Short.default": (N.to(torch.int16),),
    "aten._cast_Int.default": (N.to(torch.int32),),
    "aten._cast_Long.default": (N,),
    "aten._cast_Half.default": (X.half(),),
    "aten._cast_Float.default": (X,),
    "aten._cast_Double.default": (X.double(),),
    **{f"aten.{kind}dropout.default": (X, 0.5, False) for kind in ("", "feature_", "alpha_", "feature_alpha_")},
}


@pytest.mark.parametrize("name", sorted(UNDECLARED))
@pytest.mark.filterwarnings("ignore")
def test_an_op_that_gives_its_argument_back_without_saying_so_does(name):
    _, op, kind = name.split(".")
    arguments, options = SILENT[name], {"indexing": "ij"} if kind == "indexing" else {}
    given = {t.untyped_storage().data_ptr() for t in tree_leaves(arguments) if isinstance(t, torch.Tensor)}
    found = tree_leaves(getattr(getattr(torch.ops.aten, op), kind)(*arguments, **options))
    assert any(t.untyped_storage().data_ptr() in given for t in found)
    assert not gives_an_argument_back(SCHEMAS[name])


READERS = {
    "returned": ("", "%a", True),
    "read": ('%b = aten.call "aten.neg.default"(%a) : (tensor<4xf32>) -> tensor<4xf32>', "%b", False),
    "returned through views": (
        '%v = aten.call "aten.view.default"(%a, [4]) : (tensor<4xf32>) -> tensor<4xf32>\n'
        '%b = aten.call "aten.t.default"(%v) : (tensor<4xf32>) -> tensor<4xf32>',
        "%b",
        True,
    ),
    "returned as parts": (
        '%b, %c = aten.call "aten.split.Tensor"(%a, 2) unpack : (tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>)',
        "%c",
        True,
    ),
    "passed to a custom op": ('%b = aten.call "my.op.default"(%a) : (tensor<4xf32>) -> tensor<4xf32>', "%b", True),
    "asked for its size": (
        '%n = aten.call "aten.sym_size.int"(%a, 0) : (tensor<4xf32>) -> !aten.scalar<int, "n">\n'
        '%p = aten.call "operator.mul"(%n, 2) : (!aten.scalar<int, "n">) -> !aten.scalar<int, "2*n">\n'
        '%b = aten.call "aten.zeros.default"([%p]) : (!aten.scalar<int, "2*n">) -> tensor<4xf32>',
        "%b",
        False,
    ),
    "packed": (
        "%d = sparse.domain %m : tensor<4xi1> -> !sparse.domain<4>\n"
        '%b = sparse.gather %a[%d] "i" : tensor<4xf32>, !sparse.domain<4> -> tensor<?xf32>\n'
        '%c = sparse.scatter %b[%d] "i" : tensor<?xf32>, !sparse.domain<4> -> tensor<4xf32>',
        "%c",
        True,
    ),
    "packed and read": (
        "%d = sparse.domain %m : tensor<4xi1> -> !sparse.domain<4>\n"
        '%b = sparse.gather %a[%d] "i" : tensor<4xf32>, !sparse.domain<4> -> tensor<?xf32>\n'
        '%c = sparse.scatter %b[%d] "i" : tensor<?xf32>, !sparse.domain<4> -> tensor<4xf32>\n'
        '%e = aten.call "aten.neg.default"(%c) : (tensor<4xf32>) -> tensor<4xf32>',
        "%e",
        False,
    ),
    "passed to a region": (
        '%b = aten.call "map"(region<0>, [%a]) {\n^bb0(%i: tensor<4xf32>):\n'
        "aten.yield(%i) : tensor<4xf32>\n} : (tensor<4xf32>) -> tensor<4xf32>",
        "%x",
        True,
    ),
}


def function(body: str, result: str) -> FuncOp:
    module = parse_text(f"""
        func.func @forward(%x: tensor<4xf32>, %m: tensor<4xi1>) -> tensor<4xf32> {{
          %a = aten.call "aten.abs.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          {body}
          func.return {result} : tensor<4xf32>
        }}""")
    (found,) = (op for op in module.ops if isinstance(op, FuncOp))
    return found


def call(found: FuncOp, target: str) -> CallOp:
    return next(op for op in found.walk() if isinstance(op, CallOp) and op.target.data == target)


@pytest.mark.parametrize("how", READERS)
def test_memory_leaves_where_it_may_be_seen_from_outside(how):
    body, result, seen = READERS[how]
    assert leaves(call(function(body, result), "aten.abs.default").results[0]) is seen


def test_what_is_computed_is_new_and_a_view_or_what_a_custom_op_gives_is_not():
    one = "(tensor<4xf32>) -> tensor<4xf32>"
    found = function(
        f'%b = aten.call "aten.detach.default"(%a) : {one}\n%c = aten.call "my.op.default"(%a) : {one}', "%c"
    )
    values = {name: call(found, f"{name}.default").results[0] for name in ("aten.abs", "aten.detach", "my.op")}
    assert [is_new(value) for value in values.values()] == [True, False, False]
    assert [is_dense(value) for value in values.values()] == [True, True, False]
    assert not is_new(found.args[0])


@pytest.mark.parametrize("target", ["expand", "expand_as", "broadcast_to", "as_strided", "unfold"])
def test_an_expanded_tensor_is_not_dense_and_neither_is_a_view_of_it(target):
    one = "(tensor<4xf32>) -> tensor<4xf32>"
    found = function(
        f'%b = aten.call "aten.{target}.default"(%a) : {one}\n%c = aten.call "aten.alias.default"(%b) : {one}', "%c"
    )
    assert not is_dense(call(found, "aten.alias.default").results[0])


@pytest.mark.parametrize(
    ("call", "functional"),
    [
        ('aten.call mutates "aten.add_.Tensor"(%a, 1)', False),
        ('aten.call mutates "my.write.default"(%a)', False),
        ('aten.call random "aten.rand_like.default"(%a)', True),
    ],
)
def test_a_function_is_functional_where_nothing_is_written_in_place(call, functional):
    assert is_functional(function(f"%b = {call} : (tensor<4xf32>) -> tensor<4xf32>", "%b")) is functional


def test_one_of_several_results_is_not_said_to_be_new():
    two = '%b, %c = aten.call "aten.sort.default"(%a) unpack : (tensor<4xf32>) -> (tensor<4xf32>, tensor<4xi64>)'
    assert not is_new(call(function(two, "%b"), "aten.sort.default").results[0])


@pytest.mark.parametrize("target", ["_assert_async.default", "_assert_async.msg", "_functional_assert_async.msg"])
def test_an_assertion_writes_nothing(target):
    assert is_functional(function(f'aten.call mutates "aten.{target}"(%a) : (tensor<4xf32>) -> ()', "%a"))
    number = '%n = aten.call "aten.sym_size.int"(%a, 0) : (tensor<4xf32>) -> !aten.scalar<int, "n">\n'
    check = 'aten.call mutates "aten._assert_scalar.default"(%n, "no") : (!aten.scalar<int, "n">) -> ()'
    assert is_functional(function(number + check, "%a"))


@pytest.mark.parametrize("target", ["as_strided.default", "view.dtype", "stride.int", "is_contiguous.default"])
def test_who_asks_for_strides_is_known(target):
    assert reads_strides(function(f'%b = aten.call "aten.{target}"(%a) : (tensor<4xf32>) -> tensor<4xf32>', "%b"))
    assert not reads_strides(function("", "%a"))
