from gossamer.tests.passes.conversions import check


def test_jumps_keep_their_arguments():
    check(
        "convert-cf-to-llvm",
        before="""
        func.func @f(%c: i1, %x: i64) -> i64 {
          cf.cond_br %c, ^bb1(%x : i64), ^bb2
        ^bb1(%y: i64):
          cf.br ^bb3(%y : i64)
        ^bb2:
          cf.br ^bb3(%x : i64)
        ^bb3(%z: i64):
          func.return %z : i64
        }""",
        after="""
        func.func @f(%c: i1, %x: i64) -> i64 {
          llvm.cond_br %c, ^bb1(%x : i64), ^bb2
        ^bb1(%y: i64):
          llvm.br ^bb3(%y : i64)
        ^bb2:
          llvm.br ^bb3(%x : i64)
        ^bb3(%z: i64):
          func.return %z : i64
        }""",
    )
