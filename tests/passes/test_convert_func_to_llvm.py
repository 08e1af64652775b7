from gossamer.tests.passes.conversions import check


def test_buffers_are_pointers_that_do_not_overlap():
    check(
        "convert-func-to-llvm",
        before="""
        func.func @f(%m: memref<?x8xf32>, %i: index, %b: bf16, %v: vector<4xbf16>) -> index {
          func.return %i : index
        }""",
        after="""
        llvm.func @f(%m: !llvm.ptr {llvm.noalias}, %i: i64, %b: i16, %v: vector<4xi16>) -> i64 {
          llvm.return %i : i64
        }""",
    )


def test_casts_between_what_is_now_the_same_are_gone():
    check(
        "convert-func-to-llvm",
        before="""
        func.func @f(%m: memref<?xf32>) {
          %p = builtin.unrealized_conversion_cast %m : memref<?xf32> to !llvm.ptr
          %x = llvm.load %p {alignment = 4 : i64} : !llvm.ptr -> f32
          llvm.store %x, %p {alignment = 4 : i64} : f32, !llvm.ptr
          func.return
        }""",
        after="""
        llvm.func @f(%p: !llvm.ptr {llvm.noalias}) {
          %x = llvm.load %p {alignment = 4 : i64} : !llvm.ptr -> f32
          llvm.store %x, %p {alignment = 4 : i64} : f32, !llvm.ptr
          llvm.return
        }""",
    )


def test_arguments_of_later_blocks_change_their_type_too():
    check(
        "convert-func-to-llvm",
        before="""
        func.func @f(%i: index) {
          llvm.br ^bb1(%i : index)
        ^bb1(%j: index):
          llvm.br ^bb1(%j : index)
        }""",
        after="""
        llvm.func @f(%i: i64) {
          llvm.br ^bb1(%i : i64)
        ^bb1(%j: i64):
          llvm.br ^bb1(%j : i64)
        }""",
    )
