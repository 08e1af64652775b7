// Custom form, generic form and back: the same module.
// RUN: gossamer opt %s --no-locations | golden
// RUN: gossamer opt %s --print-generic | gossamer opt - --no-locations | golden
// RUN: gossamer opt %s | gossamer opt - --no-locations | golden

func.func @packed(%mask: tensor<?x128xi64, #aten.dims<"s0", 128>>, %x: tensor<?x128x768xf32, #aten.dims<"s0", 128, 768>>,
                  %shared: tensor<?x4x768xf32>,                  %heads: tensor<?x12x128x64xf32, #aten.dims<"s0", 12, 128, 64>>, %row: tensor<1x4x768xf32>,
                  %own: tensor<?x1x128x128xi1, #aten.dims<"s0", 1, 128, 128>>, %bias: tensor<1x12x128x128xf32>, %vec: tensor<2x64xf32>, %weight: tensor<32x64xf32>, %vb: tensor<32xf32>, %ids: tensor<5xi64>, %row_ids: tensor<2x2xi32>) {
  %active = sparse.domain %mask : tensor<?x128xi64, #aten.dims<"s0", 128>> -> !sparse.domain<"s0", 128>
  %all = sparse.everywhere %active : !sparse.domain<"s0", 128>
  %density = sparse.density %active : !sparse.domain<"s0", 128>
  %covers = sparse.covers %mask, %active : tensor<?x128xi64, #aten.dims<"s0", 128>>, !sparse.domain<"s0", 128>
  %fits = sparse.fits %x, %active "i j a" : tensor<?x128x768xf32, #aten.dims<"s0", 128, 768>>, !sparse.domain<"s0", 128>
  %most = arith.constant 7.000000e-01 : f32
  %pays = arith.cmpf olt, %density, %most : f32
  %d = scf.if %pays -> (!sparse.domain<"s0", 128>) {
    scf.yield %active : !sparse.domain<"s0", 128>
  } else {
    scf.yield %all : !sparse.domain<"s0", 128>
  }
  %c = sparse.gather %x[%d] "i j a" : tensor<?x128x768xf32, #aten.dims<"s0", 128, 768>>, !sparse.domain<"s0", 128> -> tensor<?x768xf32>
  %h = sparse.gather %heads[%d] "i a j b" : tensor<?x12x128x64xf32, #aten.dims<"s0", 12, 128, 64>>, !sparse.domain<"s0", 128> -> tensor<?x12x64xf32>
  %full = sparse.scatter %c[%d] "i j a" : tensor<?x768xf32>, !sparse.domain<"s0", 128> -> tensor<?x128x768xf32, #aten.dims<"s0", 128, 768>>
  %filled = sparse.scatter %shared[%d] "j (i b) a" fill %row : tensor<1x4x768xf32> {kept} : tensor<?x4x768xf32>, !sparse.domain<"s0", 128> -> tensor<128x?x768xf32, #aten.dims<128, "4*s0", 768>>
  %plain = sparse.attention %h, %h, %h[%d] none : tensor<?x12x64xf32>, tensor<?x12x64xf32>, tensor<?x12x64xf32>, !sparse.domain<"s0", 128> -> tensor<?x12x64xf32>
  %masked = sparse.attention %h, %h, %h[%d] explicit mask %own : tensor<?x1x128x128xi1, #aten.dims<"s0", 1, 128, 128>> bias %bias : tensor<1x12x128x128xf32> scale 1.250000e-01 : f64 : tensor<?x12x64xf32>, tensor<?x12x64xf32>, tensor<?x12x64xf32>, !sparse.domain<"s0", 128> -> tensor<?x12x64xf32>
  %s = sparse.support %vec : tensor<2x64xf32> -> !sparse.domain<64>
  %k = sparse.matmul %vec, %weight[%s] k bias %vb : tensor<32xf32> : tensor<2x64xf32>, tensor<32x64xf32>, !sparse.domain<64> -> tensor<2x32xf32>
  %back = sparse.support %k rows 8 : i64 : tensor<2x32xf32> -> !sparse.domain<32>
  %n = sparse.matmul %vec, %weight[%back] n : tensor<2x64xf32>, tensor<32x64xf32>, !sparse.domain<32> -> tensor<2x32xf32>
  %l = sparse.listed %ids, %row_ids and [3 : i64, 31 : i64] : tensor<5xi64>, tensor<2x2xi32> -> !sparse.domain<32>
  %fixed = sparse.listed and [3 : i64] : -> !sparse.domain<32>
  func.return
}
// GOLDEN:
// builtin.module {
//   func.func @packed(%mask: tensor<?x128xi64, #aten.dims<"s0", 128>>, %x: tensor<?x128x768xf32, #aten.dims<"s0", 128, 768>>, %shared: tensor<?x4x768xf32>, %heads: tensor<?x12x128x64xf32, #aten.dims<"s0", 12, 128, 64>>, %row: tensor<1x4x768xf32>, %own: tensor<?x1x128x128xi1, #aten.dims<"s0", 1, 128, 128>>, %bias: tensor<1x12x128x128xf32>, %vec: tensor<2x64xf32>, %weight: tensor<32x64xf32>, %vb: tensor<32xf32>, %ids: tensor<5xi64>, %row_ids: tensor<2x2xi32>) {
//     %active = sparse.domain %mask : tensor<?x128xi64, #aten.dims<"s0", 128>> -> !sparse.domain<"s0", 128>
//     %all = sparse.everywhere %active : !sparse.domain<"s0", 128>
//     %density = sparse.density %active : !sparse.domain<"s0", 128>
//     %covers = sparse.covers %mask, %active : tensor<?x128xi64, #aten.dims<"s0", 128>>, !sparse.domain<"s0", 128>
//     %fits = sparse.fits %x, %active "i j a" : tensor<?x128x768xf32, #aten.dims<"s0", 128, 768>>, !sparse.domain<"s0", 128>
//     %most = arith.constant 7.000000e-01 : f32
//     %pays = arith.cmpf olt, %density, %most : f32
//     %d = scf.if %pays -> (!sparse.domain<"s0", 128>) {
//       scf.yield %active : !sparse.domain<"s0", 128>
//     } else {
//       scf.yield %all : !sparse.domain<"s0", 128>
//     }
//     %c = sparse.gather %x[%d] "i j a" : tensor<?x128x768xf32, #aten.dims<"s0", 128, 768>>, !sparse.domain<"s0", 128> -> tensor<?x768xf32>
//     %h = sparse.gather %heads[%d] "i a j b" : tensor<?x12x128x64xf32, #aten.dims<"s0", 12, 128, 64>>, !sparse.domain<"s0", 128> -> tensor<?x12x64xf32>
//     %full = sparse.scatter %c[%d] "i j a" : tensor<?x768xf32>, !sparse.domain<"s0", 128> -> tensor<?x128x768xf32, #aten.dims<"s0", 128, 768>>
//     %filled = sparse.scatter %shared[%d] "j (i b) a" fill %row : tensor<1x4x768xf32> {kept} : tensor<?x4x768xf32>, !sparse.domain<"s0", 128> -> tensor<128x?x768xf32, #aten.dims<128, "4*s0", 768>>
//     %plain = sparse.attention %h, %h, %h[%d] none : tensor<?x12x64xf32>, tensor<?x12x64xf32>, tensor<?x12x64xf32>, !sparse.domain<"s0", 128> -> tensor<?x12x64xf32>
//     %masked = sparse.attention %h, %h, %h[%d] explicit mask %own : tensor<?x1x128x128xi1, #aten.dims<"s0", 1, 128, 128>> bias %bias : tensor<1x12x128x128xf32> scale 1.250000e-01 : f64 : tensor<?x12x64xf32>, tensor<?x12x64xf32>, tensor<?x12x64xf32>, !sparse.domain<"s0", 128> -> tensor<?x12x64xf32>
//     %s = sparse.support %vec : tensor<2x64xf32> -> !sparse.domain<64>
//     %k = sparse.matmul %vec, %weight[%s] k bias %vb : tensor<32xf32> : tensor<2x64xf32>, tensor<32x64xf32>, !sparse.domain<64> -> tensor<2x32xf32>
//     %back = sparse.support %k rows 8 : i64 : tensor<2x32xf32> -> !sparse.domain<32>
//     %n = sparse.matmul %vec, %weight[%back] n : tensor<2x64xf32>, tensor<32x64xf32>, !sparse.domain<32> -> tensor<2x32xf32>
//     %l = sparse.listed %ids, %row_ids and [3 : i64, 31 : i64] : tensor<5xi64>, tensor<2x2xi32> -> !sparse.domain<32>
//     %fixed = sparse.listed and [3 : i64] : -> !sparse.domain<32>
//     func.return
//   }
// }
