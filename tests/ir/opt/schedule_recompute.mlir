// RUN: gossamer opt %s -p schedule-recompute{budget=640} --no-locations | filecheck %s
// RUN: gossamer opt %s -p schedule-recompute{budget=640} | gossamer opt - --no-locations | filecheck %s
// RUN: gossamer opt %s -p schedule-recompute{budget=640} --print-generic | gossamer opt - --no-locations | filecheck %s
// RUN: not gossamer opt %s -p schedule-recompute{budget=200} 2>&1 | filecheck %s --check-prefix=SMALL

builtin.module {
  func.func @step(%x: tensor<4x8xf32>) -> (tensor<f32>, tensor<4x8xf32>) {
    %a = aten.call "aten.exp.default"(%x) attributes {train.phase = "forward", train.time = 2.0e-06 : f64} : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %b = aten.call "aten.sin.default"(%a) attributes {train.time = 3.0e-06 : f64} : (tensor<4x8xf32>) -> tensor<4x8xf32>
    %w = aten.call "aten.cat.default"([%b, %b, %b]) : (tensor<4x8xf32>) -> tensor<12x8xf32>
    %s = aten.call "aten.sum.default"(%w) attributes {train.time = 1.0e-06 : f64} : (tensor<12x8xf32>) -> tensor<f32>
    %c = aten.call "aten.mul.Tensor"(%b, %s) attributes {train.phase = "backward", train.time = 1.0e-06 : f64} : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
    %d = aten.call "aten.mul.Tensor"(%c, %a) attributes {train.time = 1.0e-06 : f64} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    func.return %s, %d : tensor<f32>, tensor<4x8xf32>
  }
}

// CHECK: remat.budget = 640 : i64
// CHECK: %a = aten.call "aten.exp.default"(%x) attributes {{.*}}remat.name = "a"
// CHECK: [[A:%.*]] = aten.call "aten.exp.default"(%x) attributes {{.*}}remat.of = "a", remat.life = 1 : i64
// CHECK: %d = aten.call "aten.mul.Tensor"(%c, [[A]])

// SMALL: a budget of 200 bytes cannot be met
