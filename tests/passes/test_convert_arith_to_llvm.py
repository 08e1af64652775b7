import pytest
from gossamer.passes.convert_arith_to_llvm import BINARY
from gossamer.tests.passes.conversions import check, converted, ops


@pytest.mark.parametrize(("given", "made"), BINARY.items(), ids=lambda op: op.name)
def test_ops_of_two_operands_have_their_like(given, made):
    kind = "f32" if given.name.endswith("f") else "i64"
    text = f"""
    func.func @f(%a: {kind}, %b: {kind}) -> {kind} {{
      %c = {given.name} %a, %b : {kind}
      func.return %c : {kind}
    }}"""
    module = converted("convert-arith-to-llvm", text)
    assert ops(module) == [made.name, "func.return"]
    entry = next(op for op in module.walk() if op.name == made.name)
    assert [operand.name_hint for operand in entry.operands] == ["a", "b"]


def test_an_index_has_64_bits():
    check(
        "convert-arith-to-llvm",
        before="""
        func.func @f(%a: i64, %s: i32) -> i1 {
          %i = arith.index_cast %a : i64 to index
          %j = arith.index_cast %s : i32 to index
          %x = arith.index_cast %j : index to i64
          %b = arith.index_cast %i : index to i64
          %c = arith.cmpi slt, %b, %x : i64
          func.return %c : i1
        }""",
        after="""
        func.func @f(%a: i64, %s: i32) -> i1 {
          %j = llvm.sext %s : i32 to i64
          %c = llvm.icmp "slt" %a, %j : i64
          func.return %c : i1
        }""",
    )


def test_constants_comparisons_and_choices():
    check(
        "convert-arith-to-llvm",
        before="""
        func.func @f(%x: f32) -> f32 {
          %z = arith.constant 0.0 : f32
          %c = arith.cmpf ugt, %x, %z : f32
          %y = arith.select %c, %x, %z : f32
          func.return %y : f32
        }""",
        after="""
        func.func @f(%x: f32) -> f32 {
          %z = llvm.mlir.constant(0.0 : f32) : f32
          %c = llvm.fcmp "ugt" %x, %z : f32
          %y = llvm.select %c, %x, %z : i1, f32
          func.return %y : f32
        }""",
    )


@pytest.mark.parametrize("lanes", ["", "vector<8x"])
def test_bf16_is_the_upper_half_of_an_f32(lanes):
    half, whole = (f"{lanes}{element}{'>' * bool(lanes)}" for element in ("bf16", "f32"))
    text = f"""
    func.func @f(%x: {half}) -> {half} {{
      %y = arith.extf %x : {half} to {whole}
      %z = arith.truncf %y : {whole} to {half}
      func.return %z : {half}
    }}"""
    made = ops(converted("convert-arith-to-llvm", text))
    assert not [name for name in made if name.startswith("arith.")]
    assert made[:4] == ["llvm.zext", "llvm.mlir.constant", "llvm.shl", "llvm.bitcast"]
