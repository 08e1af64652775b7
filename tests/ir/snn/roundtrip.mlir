// Custom form, generic form and back: the same module.
// RUN: gossamer opt %s --no-locations | golden
// RUN: gossamer opt %s --print-generic | gossamer opt - --no-locations | golden
// RUN: gossamer opt %s | gossamer opt - --no-locations | golden

aten.weight constant @w : tensor<10x784xf32> digest "00"
aten.weight constant @k : tensor<8x1x3x3xf32> digest "00"
aten.weight constant @b : tensor<10xf32> digest "00"
aten.weight constant @r : tensor<10x10xf32> digest "00"
snn.network @digits dt 1.000000e-03 {
  snn.input @in <784>
  snn.input @image <1, 28, 28> analog
  snn.population @out <10> : f32 lif exponential {decay = 9.000000e-01 : f32, leak = 0.000000e+00 : f32, gain = 1.000000e+00 : f32, threshold = @b} fires gt reset subtract next
  snn.population @c <8, 7, 7> : f32 lif euler {rate = 9.000000e-01 : f32, leak = 0.000000e+00 : f32, r = 1.000000e+00 : f32, threshold = 1.000000e+00 : f32} fires ge reset zero now refractory 2 initial {v = 1.000000e+00 : f32}
  snn.projection @image to @c {
    snn.conv @k stride <2, 2> padding <1, 1> dilation <1, 1> groups 1
    snn.pool average <2, 2> stride <2, 2> padding <0, 0>
  }
  snn.projection @in to @out {
    snn.dense @w
    snn.bias @b
  }
  snn.projection @out to @out delay 1 {
    snn.dense @r
  }
}
func.func @forward(%x: tensor<?x1x784xf32>, %y: tensor<?x1x1x28x28xf32>) -> tensor<?x1x10xf32> {
  %z = snn.run @digits(%x, %y) records ["out"] : (tensor<?x1x784xf32>, tensor<?x1x1x28x28xf32>) -> tensor<?x1x10xf32>
  func.return %z : tensor<?x1x10xf32>
}
// GOLDEN:
// builtin.module {
//   aten.weight constant @w : tensor<10x784xf32> digest "00"
//   aten.weight constant @k : tensor<8x1x3x3xf32> digest "00"
//   aten.weight constant @b : tensor<10xf32> digest "00"
//   aten.weight constant @r : tensor<10x10xf32> digest "00"
//   snn.network @digits dt 1.000000e-03 {
//     snn.input @in <784>
//     snn.input @image <1, 28, 28> analog
//     snn.population @out <10> : f32 lif exponential {decay = 9.000000e-01 : f32, leak = 0.000000e+00 : f32, gain = 1.000000e+00 : f32, threshold = @b} fires gt reset subtract next
//     snn.population @c <8, 7, 7> : f32 lif euler {rate = 9.000000e-01 : f32, leak = 0.000000e+00 : f32, r = 1.000000e+00 : f32, threshold = 1.000000e+00 : f32} fires ge reset zero now refractory 2 initial {v = 1.000000e+00 : f32}
//     snn.projection @image to @c {
//       snn.conv @k stride <2, 2> padding <1, 1> dilation <1, 1> groups 1
//       snn.pool average <2, 2> stride <2, 2> padding <0, 0>
//     }
//     snn.projection @in to @out {
//       snn.dense @w
//       snn.bias @b
//     }
//     snn.projection @out to @out delay 1 {
//       snn.dense @r
//     }
//   }
//   func.func @forward(%x: tensor<?x1x784xf32>, %y: tensor<?x1x1x28x28xf32>) -> tensor<?x1x10xf32> {
//     %z = snn.run @digits(%x, %y) records ["out"] : (tensor<?x1x784xf32>, tensor<?x1x1x28x28xf32>) -> tensor<?x1x10xf32>
//     func.return %z : tensor<?x1x10xf32>
//   }
// }
