// What the text alone can do wrong.
// RUN: gossamer opt %s --split-input-file --verify-diagnostics

// expected-error @below {{no op 'sparse.gater'}}
sparse.gater

// -----

// expected-error @below {{no op 'linalg.matmul'}}
"linalg.matmul"() : () -> ()

// -----

func.func @f() {
  func.return %a, %b : i32, i32 // expected-error {{%a is not defined}} expected-error {{%b is not defined}}
}

// -----

func.func @f() -> i32 {
  // expected-error @below {{%a is used where it is not defined yet}}
  %b = arith.addi %a, %a : i32
  %a = arith.constant 1 : i32
  func.return %b : i32
}

// -----

func.func @f(%x: i32) {
  %x = arith.constant 1 : i32 // expected-error {{SSA value %x is already defined}}
  func.return
}

// -----

// expected-error @below {{this string is not closed on its line}}
aten.call "f
