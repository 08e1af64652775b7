// Every law of the aten dialect, broken.
// RUN: gossamer opt %s --split-input-file --verify-diagnostics

func.func @operands_out_of_order(%a: tensor<2xf32>, %b: tensor<2xf32>) {
  // expected-error @below {{a template writes its operands in order: 2 given, written [1, 0]}}
  "aten.call"(%a, %b) <{target = "f", template = #aten.template<(operand<1>, operand<0>)>}> : (tensor<2xf32>, tensor<2xf32>) -> ()
  func.return
}

// -----

func.func @operand_not_written(%a: tensor<2xf32>, %b: tensor<2xf32>) {
  // expected-error @below {{a template writes its operands in order: 2 given, written [0]}}
  "aten.call"(%a, %b) <{target = "f", template = #aten.template<(operand<0>, 1)>}> : (tensor<2xf32>, tensor<2xf32>) -> ()
  func.return
}

// -----

func.func @operand_not_given() {
  // expected-error @below {{a template writes its operands in order: 0 given, written [0]}}
  "aten.call"() <{target = "f", template = #aten.template<(x = [operand<0>])>}> : () -> ()
  func.return
}

// -----

func.func @two_results_without_unpack(%a: tensor<2xf32>) {
  // expected-error @below {{topk has 2 results: without `unpack` it has one}}
  %v, %i = aten.call "topk"(%a) : (tensor<2xf32>) -> (tensor<2xf32>, tensor<2xi64>)
  func.return
}

// -----

func.func @function_without_yield(%a: tensor<2xf32>) {
  // expected-error @below {{every function given to cond ends in aten.yield}}
  aten.call "cond"(region<0>) {
    // expected-error @below {{'func.return' expects parent op 'func.func'}}
    func.return
  } : () -> ()
  func.return
}

// -----

func.func @function_uses_a_value_around_it(%a: tensor<2xf32>) {
  // expected-error @below {{value defined out of its IsolatedFromAbove parent}}
  aten.call "cond"(region<0>) {
    aten.yield(%a) : tensor<2xf32>
  } : () -> ()
  func.return
}

// -----

func.func @yield_in_the_middle(%a: tensor<2xf32>) {
  // expected-error @below {{aten.yield}}
  aten.yield(%a) : tensor<2xf32>
  func.return
}

// -----

func.func @positional_after_keyword() {
  // expected-error @below {{a positional argument cannot follow one given by keyword}}
  aten.call "f"(a = 1, 2) : () -> ()
  func.return
}

// -----

func.func @types_do_not_match_operands(%a: tensor<2xf32>) {
  // expected-error @below {{expected 2 operand types but had 1}}
  aten.call "f"(%a) : (tensor<2xf32>, tensor<2xf32>) -> ()
  func.return
}

// -----

// expected-error @below {{Expected `parameter`, `buffer`, or `constant`.}}
aten.weight gradient @w : tensor<2xf32> digest "00"

// -----

func.func @no_such_effect(%a: tensor<2xf32>) {
  // expected-error @below {{expected}}
  aten.call sideways "f"(%a) : (tensor<2xf32>) -> ()
  func.return
}
