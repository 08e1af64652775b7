// Every law of the sparse dialect, broken.
// RUN: gossamer opt %s --split-input-file --verify-diagnostics

// expected-error @below {{a domain selects over 1 to 4 axes, got 5}}
func.func @too_many_axes(%d: !sparse.domain<1, 2, 3, 4, 5>) { func.return }

// -----

// expected-error @below {{a domain selects over 1 to 4 axes, got 0}}
func.func @no_axes(%d: !sparse.domain<>) { func.return }

// -----

func.func @domain_has_the_axes_of_its_mask(%m: tensor<4x8xi1>) {
  // expected-error @below {{a domain has the axes of its mask: tensor<4x8xi1> -> !sparse.domain<4>}}
  %d = sparse.domain %m : tensor<4x8xi1> -> !sparse.domain<4>
  func.return
}

// -----

func.func @everywhere_has_the_same_space(%d: !sparse.domain<4>) {
  // expected-error @below {{sparse.everywhere}}
  %e = "sparse.everywhere"(%d) : (!sparse.domain<4>) -> !sparse.domain<5>
  func.return
}

// -----

func.func @layout_has_an_axis_too_few(%x: tensor<4x8x3xf32>, %d: !sparse.domain<4, 8>) {
  // expected-error @below {{layout "i j" has 2 axes, tensor<4x8x3xf32> has 3}}
  %c = sparse.gather %x[%d] "i j" : tensor<4x8x3xf32>, !sparse.domain<4, 8> -> tensor<?x3xf32>
  func.return
}

// -----

func.func @layout_uses_an_axis_that_the_domain_lacks(%x: tensor<4x8xf32>, %d: !sparse.domain<4>) {
  // expected-error @below {{layout "i j" uses j, the domain has 1 axes only}}
  %c = sparse.gather %x[%d] "i j" : tensor<4x8xf32>, !sparse.domain<4> -> tensor<?xf32>
  func.return
}

// -----

func.func @gather_keeps_the_other_axes(%x: tensor<4x8xf32>, %d: !sparse.domain<4>) {
  // expected-error @below {{layout "i a" makes tensor<4x8xf32> and tensor<?x8xf32>, not tensor<?x7xf32>}}
  %c = sparse.gather %x[%d] "i a" : tensor<4x8xf32>, !sparse.domain<4> -> tensor<?x7xf32>
  func.return
}

// -----

func.func @gather_has_one_leading_axis(%x: tensor<4x8xf32>, %d: !sparse.domain<4>) {
  // expected-error @below {{layout "i a" makes tensor<4x8xf32> and tensor<?x8xf32>, not tensor<?x1x8xf32>}}
  %c = sparse.gather %x[%d] "i a" : tensor<4x8xf32>, !sparse.domain<4> -> tensor<?x1x8xf32>
  func.return
}

// -----

func.func @gather_selects_something(%x: tensor<4x8xf32>, %d: !sparse.domain<4>) {
  // expected-error @below {{layout "a b" has no axis of the domain: nothing to select}}
  %c = sparse.gather %x[%d] "a b" : tensor<4x8xf32>, !sparse.domain<4> -> tensor<?x4x8xf32>
  func.return
}

// -----

func.func @scatter_keeps_the_other_axes(%c: tensor<?x7xf32>, %d: !sparse.domain<4>) {
  // expected-error @below {{layout "i a" makes tensor<4x8xf32> and tensor<?x8xf32>, not tensor<?x7xf32>}}
  %x = sparse.scatter %c[%d] "i a" : tensor<?x7xf32>, !sparse.domain<4> -> tensor<4x8xf32>
  func.return
}

// -----

func.func @scatter_places_every_axis(%c: tensor<?x8xf32>, %d: !sparse.domain<3, 4>) {
  // expected-error @below {{a scatter places every axis of the domain, "j a" lacks one}}
  %x = sparse.scatter %c[%d] "j a" : tensor<?x8xf32>, !sparse.domain<3, 4> -> tensor<4x8xf32>
  func.return
}

// -----

func.func @fill_is_one_row(%c: tensor<?x8xf32>, %f: tensor<1x7xf32>, %d: !sparse.domain<4>) {
  // expected-error @below {{a fill is one row of the compact form tensor<?x8xf32>, got tensor<1x7xf32>}}
  %x = sparse.scatter %c[%d] "i a" fill %f : tensor<1x7xf32> : tensor<?x8xf32>, !sparse.domain<4> -> tensor<4x8xf32>
  func.return
}

// -----

func.func @layout_names_each_factor_once(%x: tensor<4x8xf32>, %d: !sparse.domain<4>) {
  // expected-error @below {{a layout names each factor once, by one lower-case letter: 'i i'}}
  %c = sparse.gather %x[%d] "i i" : tensor<4x8xf32>, !sparse.domain<4> -> tensor<?xf32>
  func.return
}

// -----

func.func @explicit_attention_has_a_mask(%q: tensor<?x2x4xf32>, %d: !sparse.domain<4, 8>) {
  // expected-error @below {{an explicit mask needs `mask` or `bias`}}
  %o = sparse.attention %q, %q, %q[%d] explicit : tensor<?x2x4xf32>, tensor<?x2x4xf32>, tensor<?x2x4xf32>, !sparse.domain<4, 8> -> tensor<?x2x4xf32>
  func.return
}

// -----

func.func @gathers_are_from_tensors(%x: i32, %d: !sparse.domain<4>) {
  // expected-error @below {{sparse.gather}}
  %c = "sparse.gather"(%x, %d) <{layout = #sparse<layout "i a">}> : (i32, !sparse.domain<4>) -> tensor<?x8xf32>
  func.return
}

// -----

func.func @support_selects_from_the_last_axis(%x: tensor<2x8xf32>) {
  // expected-error @below {{a support selects from the last axis: tensor<2x8xf32> -> !sparse.domain<2>}}
  %d = sparse.support %x : tensor<2x8xf32> -> !sparse.domain<2>
  func.return
}

// -----

func.func @product_has_matching_sizes(%x: tensor<2x8xf32>, %w: tensor<4x7xf32>, %d: !sparse.domain<8>) {
  // expected-error @below {{a product is [.., k] by [n, k] -> [.., n]: tensor<2x8xf32> by tensor<4x7xf32> -> tensor<2x4xf32>}}
  %y = sparse.matmul %x, %w[%d] k : tensor<2x8xf32>, tensor<4x7xf32>, !sparse.domain<8> -> tensor<2x4xf32>
  func.return
}

// -----

func.func @product_skips_an_axis_of_its_weight(%x: tensor<2x8xf32>, %w: tensor<4x8xf32>, %d: !sparse.domain<8>) {
  // expected-error @below {{along n the domain selects from 4, got !sparse.domain<8>}}
  %y = sparse.matmul %x, %w[%d] n : tensor<2x8xf32>, tensor<4x8xf32>, !sparse.domain<8> -> tensor<2x4xf32>
  func.return
}

// -----

func.func @bias_has_a_number_for_each_output(%x: tensor<2x8xf32>, %w: tensor<4x8xf32>, %d: !sparse.domain<8>, %b: tensor<8xf32>) {
  // expected-error @below {{a bias has one number for each output: [4], got tensor<8xf32>}}
  %y = sparse.matmul %x, %w[%d] k bias %b : tensor<8xf32> : tensor<2x8xf32>, tensor<4x8xf32>, !sparse.domain<8> -> tensor<2x4xf32>
  func.return
}

// -----

// expected-error @below {{a tile has 1, 2, 4, 8, 16 rows, got 3}}
func.func @tiles_have_a_height(%t: !sparse.tiles<3 : 2, 8>) { func.return }

// -----

func.func @tiles_are_of_all_rows(%x: tensor<2x8xf32>) {
  // expected-error @below {{tiles are of all rows: tensor<2x8xf32> -> !sparse.tiles<4 : 3, 8>}}
  %t = sparse.tile %x : tensor<2x8xf32> -> !sparse.tiles<4 : 3, 8>
  func.return
}

// -----

func.func @lists_are_of_integers(%x: tensor<2xf32>) {
  // expected-error @below {{positions are integers, got tensor<2xf32>}}
  %d = sparse.listed %x : tensor<2xf32> -> !sparse.domain<4>
  func.return
}

// -----

func.func @tiles_are_along_k(%x: tensor<2x8xf32>, %w: tensor<8x8xf32>, %t: !sparse.tiles<2 : 2, 8>) {
  // expected-error @below {{tiles are of the rows of x, along k: !sparse.tiles<2 : 2, 8> for tensor<2x8xf32>}}
  %y = sparse.matmul %x, %w[%t] n : tensor<2x8xf32>, tensor<8x8xf32>, !sparse.tiles<2 : 2, 8> -> tensor<2x8xf32>
  func.return
}

// -----

func.func @single_positions_lie_on_the_axis(%i: tensor<2xi64>) {
  // expected-error @below {{position 4 is outside of an axis of 4}}
  %d = sparse.listed %i and [0 : i64, 4 : i64] : tensor<2xi64> -> !sparse.domain<4>
  func.return
}

// -----

func.func @an_axis_of_a_list_has_a_size(%i: tensor<2xi64>) {
  // expected-error @below {{a list names positions of one axis of a known size, got !sparse.domain<"n">}}
  %d = sparse.listed %i : tensor<2xi64> -> !sparse.domain<"n">
  func.return
}
