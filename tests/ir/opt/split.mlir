// Parts are transformed alone and written with the same line between them.
// RUN: gossamer opt %s --split-input-file -p cse --no-locations | golden

func.func @first(%a: i32) -> i32 {
  %b = arith.addi %a, %a : i32
  %c = arith.addi %a, %a : i32
  %d = arith.muli %b, %c : i32
  func.return %d : i32
}

// -----

func.func @second() {
  func.return
}

// GOLDEN:
// builtin.module {
//   func.func @first(%a: i32) -> i32 {
//     %b = arith.addi %a, %a : i32
//     %d = arith.muli %b, %b : i32
//     func.return %d : i32
//   }
// }
// // -----
// builtin.module {
//   func.func @second() {
//     func.return
//   }
// }
