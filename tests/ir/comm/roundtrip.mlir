// Custom form, generic form and back: the same module.
// RUN: gossamer opt %s --no-locations | golden
// RUN: gossamer opt %s --print-generic | gossamer opt - --no-locations | golden
// RUN: gossamer opt %s | gossamer opt - --no-locations | golden

func.func @step(%x: tensor<4x8xf32>) -> tensor<?x8xf32> {
  %p = comm.all_reduce sum %x in "tp" : (tensor<4x8xf32>) -> !comm.pending<tensor<4x8xf32>>
  %q = comm.broadcast %x from 0 in "0" : (tensor<4x8xf32>) -> !comm.pending<tensor<4x8xf32>>
  %y = comm.wait %p : (!comm.pending<tensor<4x8xf32>>) -> tensor<4x8xf32>
  %z = comm.wait %q : (!comm.pending<tensor<4x8xf32>>) -> tensor<4x8xf32>
  %g = comm.all_gather %y in "tp" of 2 {comm.seconds = 2.0e-02 : f64, comm.efficiency = 0.5 : f64} : (tensor<4x8xf32>) -> !comm.pending<tensor<8x8xf32>>
  %a = comm.wait %g : (!comm.pending<tensor<8x8xf32>>) -> tensor<8x8xf32>
  %r = comm.reduce_scatter avg %a in "tp" of 2 : (tensor<8x8xf32>) -> !comm.pending<tensor<4x8xf32>>
  %b = comm.wait %r : (!comm.pending<tensor<4x8xf32>>) -> tensor<4x8xf32>
  %s = comm.all_to_all %b sends [3, 1] takes [1, 2] in "ep" : (tensor<4x8xf32>) -> !comm.pending<tensor<?x8xf32>>
  %c = comm.wait %s holding %b : tensor<4x8xf32> : (!comm.pending<tensor<?x8xf32>>) -> tensor<?x8xf32>
  func.return %c : tensor<?x8xf32>
}
// GOLDEN:
// builtin.module {
//   func.func @step(%x: tensor<4x8xf32>) -> tensor<?x8xf32> {
//     %p = comm.all_reduce sum %x in "tp" : (tensor<4x8xf32>) -> !comm.pending<tensor<4x8xf32>>
//     %q = comm.broadcast %x from 0 in "0" : (tensor<4x8xf32>) -> !comm.pending<tensor<4x8xf32>>
//     %y = comm.wait %p : (!comm.pending<tensor<4x8xf32>>) -> tensor<4x8xf32>
//     %z = comm.wait %q : (!comm.pending<tensor<4x8xf32>>) -> tensor<4x8xf32>
//     %g = comm.all_gather %y in "tp" of 2 {comm.seconds = 2.000000e-02 : f64, comm.efficiency = 5.000000e-01 : f64} : (tensor<4x8xf32>) -> !comm.pending<tensor<8x8xf32>>
//     %a = comm.wait %g : (!comm.pending<tensor<8x8xf32>>) -> tensor<8x8xf32>
//     %r = comm.reduce_scatter avg %a in "tp" of 2 : (tensor<8x8xf32>) -> !comm.pending<tensor<4x8xf32>>
//     %b = comm.wait %r : (!comm.pending<tensor<4x8xf32>>) -> tensor<4x8xf32>
//     %s = comm.all_to_all %b sends [3, 1] takes [1, 2] in "ep" : (tensor<4x8xf32>) -> !comm.pending<tensor<?x8xf32>>
//     %c = comm.wait %s holding %b : tensor<4x8xf32> : (!comm.pending<tensor<?x8xf32>>) -> tensor<?x8xf32>
//     func.return %c : tensor<?x8xf32>
//   }
// }
