// Every law of the snn dialect, broken.
// RUN: gossamer opt %s --split-input-file --verify-diagnostics

aten.weight constant @w : tensor<4x4xf32> digest "00"
// expected-error @below {{a cycle of projections without delay: @a -> @b -> @a}}
snn.network @n dt 1.0 {
  snn.population @a <4> : f32 if euler {r = 1.0 : f32, threshold = 1.0 : f32} fires gt reset zero now
  snn.population @b <4> : f32 if euler {r = 1.0 : f32, threshold = 1.0 : f32} fires gt reset zero now
  snn.projection @a to @b { snn.dense @w }
  snn.projection @b to @a { snn.dense @w }
}

// -----

aten.weight constant @w : tensor<4x4xf32> digest "00"
// expected-error @below {{no population @b for the projection @a to @b}}
snn.network @n dt 1.0 {
  snn.input @a <4>
  snn.projection @a to @b { snn.dense @w }
}

// -----

snn.network @n dt 1.0 {
  // expected-error @below {{izhikevich has no equations for shift; it has: euler}}
  snn.population @a <4> : f32 izhikevich shift {} fires gt reset zero now
}

// -----

snn.network @n dt 1.0 {
  // expected-error @below {{li never fires}}
  snn.population @a <4> : f32 li euler {rate = 1.0 : f32, leak = 0.0 : f32, r = 1.0 : f32} fires gt reset zero now
}

// -----

snn.network @n dt 1.0 {
  // expected-error @below {{if euler has the parameters ['r', 'reset', 'threshold'], got ['r', 'threshold']}}
  snn.population @a <4> : f32 if euler {r = 1.0 : f32, threshold = 1.0 : f32} fires gt reset value now
}

// -----

snn.network @n dt 1.0 {
  // expected-error @below {{i has the states ['v'], initial gives ['u']}}
  snn.population @a <4> : f32 i euler {r = 1.0 : f32} initial {u = 0.0 : f32}
}

// -----

aten.weight constant @w : tensor<5x4xf32> digest "00"
snn.network @n dt 1.0 {
  snn.input @x <4>
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
  // expected-error @below {{the maps of @x to @a give [5], @a is [4]}}
  snn.projection @x to @a { snn.dense @w }
}

// -----

aten.weight constant @w : tensor<4x5xf32> digest "00"
snn.network @n dt 1.0 {
  snn.input @x <4>
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
  // expected-error @below {{snn.dense takes [5], it is given [4]}}
  snn.projection @x to @a { snn.dense @w }
}

// -----

snn.network @n dt 1.0 {
  snn.input @x <4>
  // expected-error @below {{no weight @w is declared}}
  snn.projection @x to @x delay 1 { snn.dense @w }
}

// -----

aten.weight constant @w : tensor<2x3x3x3xf32> digest "00"
snn.network @n dt 1.0 {
  snn.input @x <2, 8, 8>
  // expected-error @below {{snn.conv takes [3, '?', '?'], it is given [2, 8, 8]}}
  snn.projection @x to @x delay 1 { snn.conv @w stride <1, 1> padding <1, 1> dilation <1, 1> groups 1 }
}

// -----

func.func @forward(%x: tensor<?x1x4xf32>) {
  // expected-error @below {{there is no network @n}}
  %z = snn.run @n(%x) records ["a"] : (tensor<?x1x4xf32>) -> tensor<?x1x4xf32>
  func.return
}

// -----

snn.network @n dt 1.0 {
  snn.input @x <4>
}
func.func @forward(%x: tensor<?x1x4xf32>) {
  // expected-error @below {{@x is [steps, batch, 4], got tensor<?x1x5xf32>}}
  %z = snn.run @n(%x) records ["x"] : (tensor<?x1x4xf32>) -> tensor<?x1x5xf32>
  func.return
}

// -----

snn.network @n dt 1.0 {
  // expected-error @below {{integers go by shift, real numbers by others: euler of i32}}
  snn.population @a <4> : i32 i euler {r = 1 : i32}
}

// -----

aten.weight constant @w : tensor<4x4xf32> digest "00"
snn.network @n dt 1.0 {
  snn.input @x <4>
  // expected-error @below {{what is input to the network has no other source: @x to @x}}
  snn.projection @x to @x delay 1 { snn.dense @w }
}

// -----

aten.weight constant @w : tensor<4x4xf32> digest "00"
aten.weight constant @d : tensor<4xi32> digest "00"
snn.network @n dt 1.0 {
  snn.input @x <4>
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
  // expected-error @below {{delays are one for each weight, [4, 4]: got [4]}}
  snn.projection @x to @a delays @d from 1 to 3 { snn.dense @w }
}

// -----

aten.weight constant @w : tensor<4x4xf32> digest "00"
snn.network @n dt 1.0 {
  snn.input @x <4>
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
  // expected-error @below {{delays are those of the synapses of one map, a bias at most after it: @x to @a}}
  snn.projection @x to @a delays @w from 1 to 3 {
    snn.dense @w
    snn.dense @w
  }
}

// -----

snn.network @n dt 1.0 {
  snn.input @x <1, 4, 4>
  snn.population @a <1, 2, 2> : i32 if shift {floor = 0 : i32, threshold = 1 : i32} fires gt reset zero now
  // expected-error @below {{an average is no integer: @x to @a needs a sum, and a shift}}
  snn.projection @x to @a { snn.pool average <2, 2> stride <2, 2> padding <0, 0> }
}

// -----

snn.network @n dt 1.0 {
  snn.input @x <1, 4, 4>
  snn.population @a <1, 2, 2> : f32 i euler {r = 1.0 : f32}
  // expected-error @below {{a window of 5 does not fit in 4 + 2 * 0}}
  snn.projection @x to @a { snn.pool sum <5, 5> stride <1, 1> padding <0, 0> }
}

// -----

snn.network @n dt 1.0 {
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
func.func @forward() {
  // expected-error @below {{@n has no input to take the number of steps from}}
  %z = snn.run @n() records ["a"] : () -> tensor<?x1x4xf32>
  func.return
}

// -----

snn.network @n dt 1.0 {
  snn.input @x <4>
  snn.population @a <4> : f32 i euler {r = 1.0 : f32}
}
func.func @forward(%x: tensor<?x1x4xf32>) {
  // expected-error @below {{@a has the states ['v'], no 'u'}}
  %z = snn.run @n(%x) records ["a.u"] : (tensor<?x1x4xf32>) -> tensor<?x1x4xf32>
  func.return
}

// -----

snn.network @n dt 1.0 {
  // expected-error @below {{undelayed is a way to subtract, the reset is zero}}
  snn.population @a <4> : f32 if euler {r = 1.0 : f32, threshold = 1.0 : f32} fires gt reset zero undelayed
}
