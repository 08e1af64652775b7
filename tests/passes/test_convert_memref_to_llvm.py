import pytest
from gossamer.tests.passes.conversions import check, converted, ops
from xdsl.dialects import llvm
from xdsl.dialects.builtin import IntegerAttr
from xdsl.utils.exceptions import PassFailedException


def test_an_element_lies_at_its_row_major_offset():
    check(
        "convert-memref-to-llvm",
        before="""
        func.func @f(%m: memref<?x8xf32>, %i: index, %j: index) -> f32 {
          %x = memref.load %m[%i, %j] : memref<?x8xf32>
          func.return %x : f32
        }""",
        after="""
        func.func @f(%m: memref<?x8xf32>, %i: index, %j: index) -> f32 {
          %p = builtin.unrealized_conversion_cast %m : memref<?x8xf32> to !llvm.ptr
          %n = arith.constant 8 : index
          %r = arith.muli %i, %n : index
          %o = arith.addi %r, %j : index
          %l = arith.index_cast %o : index to i64
          %q = "llvm.getelementptr"(%p, %l) <{rawConstantIndices = array<i32: -2147483648>, elem_type = f32,
            noWrapFlags = 0 : i32}> : (!llvm.ptr, i64) -> !llvm.ptr
          %x = llvm.load %q {alignment = 4 : i64} : !llvm.ptr -> f32
          func.return %x : f32
        }""",
    )


@pytest.mark.parametrize(("element", "size"), [("f32", 4), ("bf16", 2), ("i64", 8)])
def test_a_vector_is_aligned_as_its_elements(element, size):
    module = converted(
        "convert-memref-to-llvm",
        f"""
        func.func @f(%m: memref<?x{element}>, %i: index) {{
          %v = vector.load %m[%i] : memref<?x{element}>, vector<16x{element}>
          vector.store %v, %m[%i] : memref<?x{element}>, vector<16x{element}>
          func.return
        }}""",
    )
    moves = [op for op in module.walk() if isinstance(op, llvm.LoadOp | llvm.StoreOp)]
    assert [op.alignment and op.alignment.value.data for op in moves] == [size, size]


def test_a_prefetch_changes_no_value():
    module = converted(
        "convert-memref-to-llvm",
        """
        func.func @f(%m: memref<?xf32>, %i: index) {
          kernel.prefetch %m[%i] : memref<?xf32>
          func.return
        }""",
    )
    assert ops(module)[-2:] == ["llvm.call_intrinsic", "func.return"]


@pytest.mark.parametrize(("form", "locality"), [("", 2), ("at_once ", 3)])
def test_a_prefetch_says_how_near(form: str, locality: int):
    module = converted(
        "convert-memref-to-llvm",
        f"""
        func.func @f(%m: memref<?xf32>, %i: index) {{
          kernel.prefetch %m[%i] {form}: memref<?xf32>
          func.return
        }}""",
    )
    (call,) = (op for op in module.walk() if isinstance(op, llvm.CallIntrinsicOp))
    hints = [arg.owner.value for arg in call.args if isinstance(arg.owner, llvm.ConstantOp)]
    assert [hint.value.data for hint in hints if isinstance(hint, IntegerAttr)] == [0, locality, 1]


def test_what_is_masked_is_read_and_written_by_address():
    check(
        "convert-memref-to-llvm",
        before="""
        func.func @f(%m: memref<?xf32>, %i: index, %k: vector<4xi1>, %v: vector<4xf32>) {
          %r = vector.maskedload %m[%i], %k, %v : memref<?xf32>, vector<4xi1>, vector<4xf32> into vector<4xf32>
          vector.maskedstore %m[%i], %k, %r : memref<?xf32>, vector<4xi1>, vector<4xf32>
          func.return
        }""",
        after="""
        func.func @f(%m: memref<?xf32>, %i: index, %k: vector<4xi1>, %v: vector<4xf32>) {
          %a = builtin.unrealized_conversion_cast %m : memref<?xf32> to !llvm.ptr
          %p = arith.index_cast %i : index to i64
          %q = "llvm.getelementptr"(%a, %p)
              <{rawConstantIndices = array<i32: -2147483648>, elem_type = f32, noWrapFlags = 0 : i32}>
              : (!llvm.ptr, i64) -> !llvm.ptr
          %n = llvm.mlir.constant(4 : i32) : i32
          %r = llvm.call_intrinsic "llvm.masked.load.v4f32.p0"(%q, %n, %k, %v)
              : (!llvm.ptr, i32, vector<4xi1>, vector<4xf32>) -> vector<4xf32>
          %b = builtin.unrealized_conversion_cast %m : memref<?xf32> to !llvm.ptr
          %s = arith.index_cast %i : index to i64
          %t = "llvm.getelementptr"(%b, %s)
              <{rawConstantIndices = array<i32: -2147483648>, elem_type = f32, noWrapFlags = 0 : i32}>
              : (!llvm.ptr, i64) -> !llvm.ptr
          %o = llvm.mlir.constant(4 : i32) : i32
          llvm.call_intrinsic "llvm.masked.store.v4f32.p0"(%r, %t, %o, %k)
              : (vector<4xf32>, !llvm.ptr, i32, vector<4xi1>) -> ()
          func.return
        }""",
    )


def test_a_size_after_the_first_is_static():
    text = """
    func.func @f(%m: memref<?x?xf32>, %i: index) -> f32 {
      %x = memref.load %m[%i, %i] : memref<?x?xf32>
      func.return %x : f32
    }"""
    with pytest.raises(PassFailedException, match="sizes after the first are static"):
        converted("convert-memref-to-llvm", text)
