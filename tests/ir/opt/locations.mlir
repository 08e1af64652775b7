// An op keeps its location; one without gets its place in this file; one that is unknown stays so.
// RUN: gossamer opt %s | filecheck %s
// RUN: gossamer opt %s | gossamer opt - | filecheck %s
// RUN: gossamer opt %s --print-generic | gossamer opt - | filecheck %s
// RUN: gossamer opt %s --no-locations | filecheck %s --check-prefix=BARE

// BARE-NOT: loc(

// CHECK: func.func @f(%x: tensor<4xf32> {aten.name = "x"} loc("model.py":3:9), %y: i32 loc(unknown))
func.func @f(%x: tensor<4xf32> {aten.name = "x"} loc("model.py":3:9), %y: i32) {
  // CHECK: aten.call "relu"(%x) : {{.*}} loc("model.py":4:0)
  %a = aten.call "relu"(%x) : (tensor<4xf32>) -> tensor<4xf32> loc("model.py":4:0)
  // CHECK: aten.call "tanh"(%a) : {{.*}} loc("{{.*}}locations.mlir":14:3)
  %b = aten.call "tanh"(%a) : (tensor<4xf32>) -> tensor<4xf32>
  // CHECK: aten.call "exp"(%b) : {{.*}} loc(unknown)
  %c = aten.call "exp"(%b) : (tensor<4xf32>) -> tensor<4xf32> loc(unknown)
  // CHECK: aten.call "cond"(region<0>) {
  aten.call "cond"(region<0>) {
    // CHECK: aten.yield() loc("model.py":9:1)
    aten.yield() loc("model.py":9:1)
    // CHECK: } : () -> () loc("{{.*}}locations.mlir":18:3)
  } : () -> ()
  // CHECK: func.return loc("model.py":10:5)
  func.return loc("model.py":10:5)
  // CHECK: } loc("{{.*}}locations.mlir":10:1)
}
