// Tiles of rows: custom form, generic form and back are the same module.
// RUN: gossamer opt %s --no-locations | golden
// RUN: gossamer opt %s --print-generic | gossamer opt - --no-locations | golden

func.func @tiled(%x: tensor<2x64xf32>, %w: tensor<32x64xf32>, %z: tensor<?x64xf32, #aten.dims<"s0", 64>>) {
  %t = sparse.tile %x clustered upto 6.700000e-01 : f64 : tensor<2x64xf32> -> !sparse.tiles<8 : 2, 64>
  %u = sparse.tile %z clustered rows 160 : i64 : tensor<?x64xf32, #aten.dims<"s0", 64>> -> !sparse.tiles<1 : "s0", 64>
  %p = sparse.density %t : !sparse.tiles<8 : 2, 64>
  %e = sparse.everywhere %t : !sparse.tiles<8 : 2, 64>
  %k = sparse.matmul %x, %w[%e] k : tensor<2x64xf32>, tensor<32x64xf32>, !sparse.tiles<8 : 2, 64> -> tensor<2x32xf32>
  func.return
}
// GOLDEN:
// builtin.module {
//   func.func @tiled(%x: tensor<2x64xf32>, %w: tensor<32x64xf32>, %z: tensor<?x64xf32, #aten.dims<"s0", 64>>) {
//     %t = sparse.tile %x clustered upto 6.700000e-01 : f64 : tensor<2x64xf32> -> !sparse.tiles<8 : 2, 64>
//     %u = sparse.tile %z clustered rows 160 : i64 : tensor<?x64xf32, #aten.dims<"s0", 64>> -> !sparse.tiles<1 : "s0", 64>
//     %p = sparse.density %t : !sparse.tiles<8 : 2, 64>
//     %e = sparse.everywhere %t : !sparse.tiles<8 : 2, 64>
//     %k = sparse.matmul %x, %w[%e] k : tensor<2x64xf32>, tensor<32x64xf32>, !sparse.tiles<8 : 2, 64> -> tensor<2x32xf32>
//     func.return
//   }
// }
