// Every law of the core dialect, broken.
// RUN: gossamer opt %s --split-input-file --verify-diagnostics

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{there is no network @m}}
core.program @m on @small neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64}  work 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{there is no array @big}}
core.program @n on @big neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64}  work 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{3 tiles for 2 cores of @small}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64}  work 1.0 
  core.tile 1  level 0 holds {a = 2 : i64}  work 1.0 
  core.tile 2  level 0 holds {a = 2 : i64}  work 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{tile 0 has 9 axons_in, a core holds 8}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64} uses {axons_in = 9 : i64} work 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{tile 0 has 3 neurons, a core holds 2}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0 level 0 holds {a = 3 : i64} work 1.0
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{tile 0 is at core 2 of 2}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0 at 2 level 0 holds {a = 2 : i64}  work 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{two tiles are at one core}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0 at 1 level 0 holds {a = 2 : i64}  work 1.0 
  core.tile 1 at 1 level 0 holds {a = 2 : i64}  work 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{tiles are numbered from 0 in order, got [1]}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 1  level 0 holds {a = 2 : i64}  work 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{two edges join the same tiles}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64}  work 1.0 
  core.tile 1  level 0 holds {a = 2 : i64}  work 1.0 
  core.edge 0 to 1 delays 1 to 1 axons 1 traffic 1.0 
  core.edge 0 to 1 delays 1 to 1 axons 1 traffic 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{an edge joins two of 2 tiles: 1 to 1}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64}  work 1.0 
  core.tile 1  level 0 holds {a = 2 : i64}  work 1.0 
  core.edge 1 to 1 delays 1 to 1 axons 1 traffic 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{either all tiles have potentials or none has}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64}  work 1.0 potential 0
  core.tile 1  level 0 holds {a = 2 : i64}  work 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{a program with potentials has slots on every edge}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64}  work 1.0 potential 0
  core.tile 1  level 0 holds {a = 2 : i64}  work 1.0 potential 0
  core.edge 0 to 1 delays 1 to 1 axons 1 traffic 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
// expected-error @below {{the certificate fails from tile 1 to tile 0: 0 > 0 + 3 * 0 - 1}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64}  work 1.0 potential 0
  core.tile 1  level 0 holds {a = 2 : i64}  work 1.0 potential 0
  core.edge 0 to 1 delays 1 to 1 axons 1 traffic 1.0 slots 1
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64}  work 1.0 
  core.tile 1  level 0 holds {a = 2 : i64}  work 1.0 
  // expected-error @below {{delays are 0 or more, the least first: 3 to 1}}
  core.edge 0 to 1 delays 3 to 1 axons 1 traffic 1.0 
}

// -----

aten.weight constant @a.tiles : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
core.array @small mesh <2, 1> cores 1 {limits = {neurons = 2 : i64, axons_in = 8 : i64}}
core.program @n on @small neurons {a = @a.tiles} {
  core.tile 0  level 0 holds {a = 2 : i64}  work 1.0 
  core.tile 1  level 0 holds {a = 2 : i64}  work 1.0 
  // expected-error @below {{delays of 1 to 3 need 3 slots or more}}
  core.edge 0 to 1 delays 1 to 3 axons 1 traffic 1.0 slots 2
}
