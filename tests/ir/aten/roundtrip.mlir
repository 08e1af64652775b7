// Custom form, generic form and back: the same module.
// RUN: gossamer opt %s --no-locations | golden
// RUN: gossamer opt %s --no-locations | gossamer opt - --no-locations | golden
// RUN: gossamer opt %s --print-generic | gossamer opt - --no-locations | golden
// RUN: gossamer opt %s | gossamer opt - --no-locations | golden

builtin.module {
  aten.weight parameter @encoder.0.weight : tensor<8x4xf32> digest "00ff"
  aten.weight buffer @running_mean : tensor<4xbf16> digest "01" aliases ["mean", "a \"b\""]
  aten.weight constant @lifted : tensor<i1> digest "" {note = "kept"}
  func.func @forward(%x: tensor<?x4xf32, #aten.dims<"s0", 4>> {aten.name = "x"},
                     %n: !aten.scalar<int, "4*s0"> {aten.name = "n"},
                     %o: !aten.object<"NoneType">)
      -> (tensor<?x8xf32, #aten.dims<"s0", 8>> {aten.name = "y", sparse.dont_care = "x"})
      attributes {aten.inputs = #aten.template<(operand<0>, true, none, "a", operand<1>, operand<2>)>,
                  aten.symbols = {s0 = [2, -1, 32]}} {
    %w = aten.parameter @encoder.0.weight : tensor<8x4xf32>
    %y = aten.call "aten.linear.default"(%x, %w) : (tensor<?x4xf32, #aten.dims<"s0", 4>>, tensor<8x4xf32>) -> tensor<?x8xf32, #aten.dims<"s0", 8>>
    %twice = aten.call "aten.add.Tensor"(%y, %y, alpha = 2) : (tensor<?x8xf32, #aten.dims<"s0", 8>>) -> tensor<?x8xf32, #aten.dims<"s0", 8>>
    %noise = aten.call random "aten.rand_like.default"(%y) : (tensor<?x8xf32, #aten.dims<"s0", 8>>) -> tensor<?x8xf32, #aten.dims<"s0", 8>>
    %values, %indices = aten.call "aten.topk.default"(%y, 2, -1) unpack : (tensor<?x8xf32, #aten.dims<"s0", 8>>) -> (tensor<?x2xf32, #aten.dims<"s0", 2>>, tensor<?x2xi64, #aten.dims<"s0", 2>>)
    aten.call "aten._assert_scalar.default"(true, "x is \"long\" enough") : () -> ()
    %half = aten.call "operator.floordiv"(%n, 2) : (!aten.scalar<int, "4*s0">) -> !aten.scalar<int, "2*s0">
    %branch = aten.call "cond"(true, region<0>, region<1>, [%y, %w]) unpack {
    ^bb0(%a: tensor<?x8xf32, #aten.dims<"s0", 8>>, %b: tensor<8x4xf32>):
      %c = aten.call "aten.relu.default"(%a) : (tensor<?x8xf32, #aten.dims<"s0", 8>>) -> tensor<?x8xf32, #aten.dims<"s0", 8>>
      aten.yield([%c, none, 3]) : tensor<?x8xf32, #aten.dims<"s0", 8>>
    } {
    ^bb0(%a: tensor<?x8xf32, #aten.dims<"s0", 8>>, %b: tensor<8x4xf32>):
      aten.yield([%a]) : tensor<?x8xf32, #aten.dims<"s0", 8>>
    } attributes {sparse.note = "two"} : (tensor<?x8xf32, #aten.dims<"s0", 8>>, tensor<8x4xf32>) -> tensor<?x8xf32, #aten.dims<"s0", 8>>
    aten.call mutates "aten.add_.Tensor"(%y, 1) : (tensor<?x8xf32, #aten.dims<"s0", 8>>) -> ()
    aten.update @running_mean, %noise : tensor<?x8xf32, #aten.dims<"s0", 8>>
    aten.assign %x, %y : tensor<?x4xf32, #aten.dims<"s0", 4>>, tensor<?x8xf32, #aten.dims<"s0", 8>>
    func.return %branch : tensor<?x8xf32, #aten.dims<"s0", 8>>
  }
}
// GOLDEN:
// builtin.module {
//   aten.weight parameter @encoder.0.weight : tensor<8x4xf32> digest "00ff"
//   aten.weight buffer @running_mean : tensor<4xbf16> digest "01" aliases ["mean", "a \22b\22"]
//   aten.weight constant @lifted : tensor<i1> digest "" {note = "kept"}
//   func.func @forward(%x: tensor<?x4xf32, #aten.dims<"s0", 4>> {aten.name = "x"}, %n: !aten.scalar<int, "4*s0"> {aten.name = "n"}, %o: !aten.object<"NoneType">) -> (tensor<?x8xf32, #aten.dims<"s0", 8>> {aten.name = "y", sparse.dont_care = "x"}) attributes {aten.inputs = #aten.template<(operand<0>, true, none, "a", operand<1>, operand<2>)>, aten.symbols = {s0 = [2 : i64, -1 : i64, 32 : i64]}} {
//     %w = aten.parameter @encoder.0.weight : tensor<8x4xf32>
//     %y = aten.call "aten.linear.default"(%x, %w) : (tensor<?x4xf32, #aten.dims<"s0", 4>>, tensor<8x4xf32>) -> tensor<?x8xf32, #aten.dims<"s0", 8>>
//     %twice = aten.call "aten.add.Tensor"(%y, %y, alpha = 2) : (tensor<?x8xf32, #aten.dims<"s0", 8>>) -> tensor<?x8xf32, #aten.dims<"s0", 8>>
//     %noise = aten.call random "aten.rand_like.default"(%y) : (tensor<?x8xf32, #aten.dims<"s0", 8>>) -> tensor<?x8xf32, #aten.dims<"s0", 8>>
//     %values, %indices = aten.call "aten.topk.default"(%y, 2, -1) unpack : (tensor<?x8xf32, #aten.dims<"s0", 8>>) -> (tensor<?x2xf32, #aten.dims<"s0", 2>>, tensor<?x2xi64, #aten.dims<"s0", 2>>)
//     aten.call "aten._assert_scalar.default"(true, "x is \"long\" enough") : () -> ()
//     %half = aten.call "operator.floordiv"(%n, 2) : (!aten.scalar<int, "4*s0">) -> !aten.scalar<int, "2*s0">
//     %branch = aten.call "cond"(true, region<0>, region<1>, [%y, %w]) unpack {
//     ^bb0(%a: tensor<?x8xf32, #aten.dims<"s0", 8>>, %b: tensor<8x4xf32>):
//       %c = aten.call "aten.relu.default"(%a) : (tensor<?x8xf32, #aten.dims<"s0", 8>>) -> tensor<?x8xf32, #aten.dims<"s0", 8>>
//       aten.yield([%c, none, 3]) : tensor<?x8xf32, #aten.dims<"s0", 8>>
//     } {
//     ^bb0(%a_1: tensor<?x8xf32, #aten.dims<"s0", 8>>, %b_1: tensor<8x4xf32>):
//       aten.yield([%a_1]) : tensor<?x8xf32, #aten.dims<"s0", 8>>
//     } attributes {sparse.note = "two"} : (tensor<?x8xf32, #aten.dims<"s0", 8>>, tensor<8x4xf32>) -> tensor<?x8xf32, #aten.dims<"s0", 8>>
//     aten.call mutates "aten.add_.Tensor"(%y, 1) : (tensor<?x8xf32, #aten.dims<"s0", 8>>) -> ()
//     aten.update @running_mean, %noise : tensor<?x8xf32, #aten.dims<"s0", 8>>
//     aten.assign %x, %y : tensor<?x4xf32, #aten.dims<"s0", 4>>, tensor<?x8xf32, #aten.dims<"s0", 8>>
//     func.return %branch : tensor<?x8xf32, #aten.dims<"s0", 8>>
//   }
// }
