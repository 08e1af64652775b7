// Every law of the comm dialect, broken.
// RUN: gossamer opt %s --split-input-file --verify-diagnostics

func.func @never_waited_for(%x: tensor<4xf32>) {
  // expected-error @below {{a start is waited for once, in its block: 0 waits}}
  %p = comm.all_reduce sum %x in "tp" : (tensor<4xf32>) -> !comm.pending<tensor<4xf32>>
  func.return
}

// -----

func.func @waited_for_twice(%x: tensor<4xf32>) {
  // expected-error @below {{a start is waited for once, in its block: 2 waits}}
  %p = comm.all_reduce sum %x in "tp" : (tensor<4xf32>) -> !comm.pending<tensor<4xf32>>
  %y = comm.wait %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  %z = comm.wait %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @read_too_early(%x: tensor<4xf32>) {
  // expected-error @below {{only comm.wait reads a pending value, got 'aten.call'}}
  %p = comm.all_reduce sum %x in "tp" : (tensor<4xf32>) -> !comm.pending<tensor<4xf32>>
  %r = aten.call "aten.neg.default"(%p) : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  %y = comm.wait %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @waited_for_elsewhere(%x: tensor<4xf32>, %c: i1) {
  // expected-error @below {{a start is waited for once, in its block: 1 waits in another block}}
  %p = comm.all_reduce sum %x in "tp" : (tensor<4xf32>) -> !comm.pending<tensor<4xf32>>
  scf.if %c {
    %y = comm.wait %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  }
  func.return
}

// -----

// The types tell the law: a tensor cannot be waited for.
func.func @nothing_pending(%x: tensor<4xf32>) {
  // expected-error @below {{tensor<4xf32> should be of base attribute comm.pending}}
  %y = "comm.wait"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  func.return
}

// -----

func.func @another_tensor(%x: tensor<4xf32>) {
  %p = comm.all_reduce sum %x in "tp" : (tensor<4xf32>) -> !comm.pending<tensor<4xf32>>
  // expected-error @below {{a wait gives the tensor that is pending}}
  %y = comm.wait %p : (!comm.pending<tensor<4xf32>>) -> tensor<8xf32>
  func.return
}

// -----

func.func @started_outside(%p: !comm.pending<tensor<4xf32>>) {
  // expected-error @below {{what is waited for was started in the same function}}
  %y = comm.wait %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @out_of_turn(%x: tensor<4xf32>) {
  %p = comm.all_reduce sum %x in "tp" : (tensor<4xf32>) -> !comm.pending<tensor<4xf32>>
  %q = comm.broadcast %x from 0 in "tp" : (tensor<4xf32>) -> !comm.pending<tensor<4xf32>>
  %z = comm.wait %q : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  // expected-error @below {{in the order of their starts: 'comm.broadcast' starts after 'comm.all_reduce' and is waited for before it}}
  %y = comm.wait %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}

// -----

func.func @another_element_type(%x: tensor<4xf32>) {
  // expected-error @below {{elements keep their type}}
  %p = comm.all_reduce sum %x in "tp" : (tensor<4xf32>) -> !comm.pending<tensor<4xf64>>
  %y = comm.wait %p : (!comm.pending<tensor<4xf64>>) -> tensor<4xf64>
  func.return
}

// -----

func.func @another_size(%x: tensor<4xf32>) {
  // expected-error @below {{comm.all_reduce keeps all sizes}}
  %p = comm.all_reduce sum %x in "tp" : (tensor<4xf32>) -> !comm.pending<tensor<8xf32>>
  %y = comm.wait %p : (!comm.pending<tensor<8xf32>>) -> tensor<8xf32>
  func.return
}

// -----

func.func @too_few_rows(%x: tensor<4xf32>) {
  // expected-error @below {{3 ranks with 4 rows each have 12 rows, got 8}}
  %p = comm.all_gather %x in "tp" of 3 : (tensor<4xf32>) -> !comm.pending<tensor<8xf32>>
  %y = comm.wait %p : (!comm.pending<tensor<8xf32>>) -> tensor<8xf32>
  func.return
}

// -----

func.func @another_axis(%x: tensor<4x2xf32>) {
  // expected-error @below {{comm.reduce_scatter keeps every axis but the first}}
  %p = comm.reduce_scatter sum %x in "tp" of 2 : (tensor<4x2xf32>) -> !comm.pending<tensor<2x4xf32>>
  %y = comm.wait %p : (!comm.pending<tensor<2x4xf32>>) -> tensor<2x4xf32>
  func.return
}

// -----

func.func @lost_rows(%x: tensor<4xf32>) {
  // expected-error @below {{it sends 3 rows in all, its tensor has 4}}
  %p = comm.all_to_all %x sends [1, 2] takes [2, 2] in "tp" : (tensor<4xf32>) -> !comm.pending<tensor<4xf32>>
  %y = comm.wait %p : (!comm.pending<tensor<4xf32>>) -> tensor<4xf32>
  func.return
}
