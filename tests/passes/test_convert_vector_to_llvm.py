from gossamer.tests.passes.conversions import check


def test_a_number_is_spread_over_the_lanes():
    check(
        "convert-vector-to-llvm",
        before="""
        func.func @f(%x: f32) -> vector<4xf32> {
          %v = vector.broadcast %x : f32 to vector<4xf32>
          func.return %v : vector<4xf32>
        }""",
        after="""
        func.func @f(%x: f32) -> vector<4xf32> {
          %u = llvm.mlir.undef : vector<4xf32>
          %z = llvm.mlir.constant(0 : i32) : i32
          %i = llvm.insertelement %x, %u[%z : i32] : vector<4xf32>
          %v = llvm.shufflevector %i, %u [0, 0, 0, 0] : vector<4xf32>
          func.return %v : vector<4xf32>
        }""",
    )


def test_the_other_ops_have_their_like():
    check(
        "convert-vector-to-llvm",
        before="""
        func.func @f(%a: vector<4xf32>) -> f32 {
          %b = vector.fma %a, %a, %a : vector<4xf32>
          %c = vector.shuffle %b, %b [2, 3] : vector<4xf32>, vector<4xf32>
          %r = vector.reduction <add>, %c : vector<2xf32> into f32
          func.return %r : f32
        }""",
        after="""
        func.func @f(%a: vector<4xf32>) -> f32 {
          %b = llvm.intr.fma(%a, %a, %a) : (vector<4xf32>, vector<4xf32>, vector<4xf32>) -> vector<4xf32>
          %c = llvm.shufflevector %b, %b [2, 3] : vector<4xf32>
          %z = llvm.mlir.constant(-0.0 : f32) : f32
          %r = "llvm.intr.vector.reduce.fadd"(%z, %c) : (f32, vector<2xf32>) -> f32
          func.return %r : f32
        }""",
    )


def test_a_mask_is_a_comparison_of_places():
    check(
        "convert-vector-to-llvm",
        before="""
        func.func @f(%n: index) -> vector<4xi1> {
          %m = vector.create_mask %n : vector<4xi1>
          func.return %m : vector<4xi1>
        }""",
        after="""
        func.func @f(%n: index) -> vector<4xi1> {
          %p = llvm.mlir.constant(dense<[0, 1, 2, 3]> : vector<4xi64>) : vector<4xi64>
          %i = arith.index_cast %n : index to i64
          %u = llvm.mlir.undef : vector<4xi64>
          %z = llvm.mlir.constant(0 : i32) : i32
          %a = llvm.insertelement %i, %u[%z : i32] : vector<4xi64>
          %s = llvm.shufflevector %a, %u [0, 0, 0, 0] : vector<4xi64>
          %m = llvm.icmp "slt" %p, %s : vector<4xi64>
          func.return %m : vector<4xi1>
        }""",
    )
