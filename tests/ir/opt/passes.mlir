// Passes run in the order in which they are written.
// RUN: gossamer opt %s -p cse,dce --no-locations | golden

func.func @twice(%a: i32) -> i32 {
  %b = arith.addi %a, %a : i32
  %c = arith.addi %a, %a : i32
  %d = arith.muli %b, %c : i32
  %e = arith.muli %b, %c : i32
  func.return %d : i32
}

// GOLDEN:
// builtin.module {
//   func.func @twice(%a: i32) -> i32 {
//     %b = arith.addi %a, %a : i32
//     %d = arith.muli %b, %b : i32
//     func.return %d : i32
//   }
// }
