// Custom form, generic form and back: the same module.
// RUN: gossamer opt %s --no-locations | golden
// RUN: gossamer opt %s --print-generic | gossamer opt - --no-locations | golden
// RUN: gossamer opt %s | gossamer opt - --no-locations | golden

aten.weight constant @w : tensor<4x4xf32> digest "00"
aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 if euler {r = 1.0 : f32, threshold = 1.0 : f32} fires gt reset zero now
  snn.projection @a to @a delay 1 { snn.dense @w }
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
core.program @n on @small policy dependency neurons {a = @a.tiles} {
  core.tile 0 at 1 level 0 holds {a = 2 : i64} uses {axons_in = 2 : i64} work 12.5 potential 0
  core.tile 1 at 0 level 0 holds {a = 2 : i64} work 12.5 potential 0
  core.edge 0 to 1 delays 1 to 1 axons 2 traffic 0.5 slots 2
  core.edge 1 to 0 delays 1 to 1 axons 2 traffic 0.5 slots 3
}
// A program as partition-cores leaves it.
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0 level 0 holds {a = 2 : i64} work 12.5
  core.tile 1 level 0 holds {a = 2 : i64} work 12.5
  core.edge 0 to 1 delays 1 to 1 axons 2 traffic 0.5
}
// GOLDEN:
// builtin.module {
//   aten.weight constant @w : tensor<4x4xf32> digest "00"
//   aten.weight constant @a.tiles : tensor<4xi32> digest "00"
//   snn.network @n dt 1.000000e+00 {
//     snn.population @a <4> : f32 if euler {r = 1.000000e+00 : f32, threshold = 1.000000e+00 : f32} fires gt reset zero now
//     snn.projection @a to @a delay 1 {
//       snn.dense @w
//     }
//   }
//   core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
//   core.program @n on @small policy dependency neurons {a = @a.tiles} {
//     core.tile 0 at 1 level 0 holds {a = 2 : i64} uses {axons_in = 2 : i64} work 1.250000e+01 potential 0
//     core.tile 1 at 0 level 0 holds {a = 2 : i64} work 1.250000e+01 potential 0
//     core.edge 0 to 1 delays 1 to 1 axons 2 traffic 5.000000e-01 slots 2
//     core.edge 1 to 0 delays 1 to 1 axons 2 traffic 5.000000e-01 slots 3
//   }
//   core.program @n on @small neurons {a = @a.tiles} {
//     core.tile 0 level 0 holds {a = 2 : i64} work 1.250000e+01
//     core.tile 1 level 0 holds {a = 2 : i64} work 1.250000e+01
//     core.edge 0 to 1 delays 1 to 1 axons 2 traffic 5.000000e-01
//   }
// }
