// Custom form, generic form and back: the same module.
// RUN: gossamer opt %s --no-locations | golden
// RUN: gossamer opt %s --print-generic | gossamer opt - --no-locations | golden
// RUN: gossamer opt %s -p cse,dce,canonicalize --no-locations | golden

func.func @step(%x: tensor<4xf32>) -> tensor<4xf32> attributes {tier.link = {place = "/tmp", out = 1.0e+09 : f64, back = 2.0e+09 : f64, latency = 1.0e-05 : f64, efficiency = 0.9 : f64}} {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %h = tier.offload %a to "/tmp" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  %b = aten.call "aten.sin.default"(%a) : (tensor<4xf32>) -> tensor<4xf32>
  tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
  %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  %a1 = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  %c = aten.call "aten.mul.Tensor"(%a1, %b) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %c : tensor<4xf32>
}
// GOLDEN:
// builtin.module {
//   func.func @step(%x: tensor<4xf32>) -> tensor<4xf32> attributes {tier.link = {place = "/tmp", out = 1.000000e+09 : f64, back = 2.000000e+09 : f64, latency = 1.000000e-05 : f64, efficiency = 9.000000e-01 : f64}} {
//     %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
//     %h = tier.offload %a to "/tmp" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
//     %b = aten.call "aten.sin.default"(%a) : (tensor<4xf32>) -> tensor<4xf32>
//     tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
//     %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
//     %a1 = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
//     %c = aten.call "aten.mul.Tensor"(%a1, %b) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
//     func.return %c : tensor<4xf32>
//   }
// }
