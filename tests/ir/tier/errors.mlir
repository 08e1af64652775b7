// Every law of the tier dialect, broken.
// RUN: gossamer opt %s --split-input-file --verify-diagnostics

func.func @an_argument(%x: tensor<4xf32>) {
  // expected-error @below {{arguments and weights are not the function's own to move}}
  %h = tier.offload %x to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  tier.offloaded %h of %x : !tier.away<tensor<4xf32>>, tensor<4xf32>
  %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  %b = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @never_waited_for(%x: tensor<4xf32>) {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  // expected-error @below {{tier.offload is followed by tier.offloaded and tier.fetch, once and in its block, got tier.fetch}}
  %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  %b = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @never_fetched(%x: tensor<4xf32>) {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  // expected-error @below {{once and in its block, got tier.offloaded}}
  %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
  func.return
}

// -----

func.func @fetched_twice(%x: tensor<4xf32>) {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  // expected-error @below {{once and in its block, got tier.fetch, tier.fetch, tier.offloaded}}
  %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
  %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  %q = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  %b = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  %c = tier.fetched %q : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @another_tensor(%x: tensor<4xf32>) {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  // expected-error @below {{an offload ends with the tensor that it began with}}
  tier.offloaded %h of %x : !tier.away<tensor<4xf32>>, tensor<4xf32>
  %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  %b = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @fetched_too_early(%x: tensor<4xf32>) {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  // expected-error @below {{a storage is fetched when its offload has ended}}
  %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
  %b = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @no_life(%x: tensor<4xf32>) {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
  // expected-error @below {{what comes back is a life from 1 on (`remat.life`), got None}}
  %p = tier.fetch %h : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  %b = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @life_0(%x: tensor<4xf32>) {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
  // expected-error @below {{what comes back is a life from 1 on (`remat.life`), got 0}}
  %p = tier.fetch %h {remat.life = 0 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  %b = tier.fetched %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @not_waited_for(%x: tensor<4xf32>) {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
  // expected-error @below {{tier.fetch is followed by tier.fetched, once and in its block, got}}
  %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<4xf32>>
  func.return
}

// -----

func.func @another_type(%x: tensor<4xf32>) {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  // expected-error @below {{tier.offload keeps the tensor: tensor<4xf32> becomes !tier.away<tensor<5xf32>>}}
  %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<5xf32>>
  tier.offloaded %h of %a : !tier.away<tensor<5xf32>>, tensor<4xf32>
  %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<5xf32>>) -> !comm.pending<tensor<5xf32>>
  %b = tier.fetched %p : (!comm.pending<tensor<5xf32>>) -> tensor<5xf32>
  func.return
}

// -----

func.func @another_type_back(%x: tensor<4xf32>) {
  %a = aten.call "aten.exp.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %h = tier.offload %a to "host" : (tensor<4xf32>) -> !tier.away<tensor<4xf32>>
  tier.offloaded %h of %a : !tier.away<tensor<4xf32>>, tensor<4xf32>
  // expected-error @below {{tier.fetch keeps the tensor: tensor<4xf32> becomes !comm.pending<tensor<5xf32>>}}
  %p = tier.fetch %h {remat.life = 1 : i64} : (!tier.away<tensor<4xf32>>) -> !comm.pending<tensor<5xf32>>
  %b = tier.fetched %p : (!comm.pending<tensor<5xf32>>) -> tensor<5xf32>
  func.return
}

// -----

func.func @of_a_collective(%x: tensor<4xf32>) {
  // expected-error @below {{only comm.wait reads a pending value}}
  %q = comm.broadcast %x from 0 in "0" : (tensor<4xf32>) -> !comm.pending<tensor<4xf32>>
  // expected-error @below {{what is waited for was fetched in the same function}}
  %b = tier.fetched %q : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}
