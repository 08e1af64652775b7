"""Size expressions."""

import pytest
from gossamer.compiler.sizes import evaluate, holds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("7", 7),
        ("a", 3),
        ("2*a + b - 1", 10),
        ("-a", -3),
        ("b//2", 2),
        ("a**2", 9),
        ("Mod(b, 3)", 2),
        ("Max(1, a, b)", 5),
        ("FloorDiv(b, 2) * (a % 2)", 2),
    ],
)
def test_a_size_is_computed(text, size):
    assert evaluate(text, {"a": 3, "b": 5}) == size


@pytest.mark.parametrize(
    "text", ["c", "a +", "a.b", "f(a)", "__import__('os')", "1.5", "a // 0", "'a'", "[a]", "a < b", ""]
)
def test_what_is_no_size_is_none(text):
    assert evaluate(text, {"a": 3, "b": 5}) is None


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("a < b", True),
        ("-a + b <= 0", False),
        ("Ne(Mod(b, 2), 0)", True),
        ("Eq(PythonMod(b, 2), 0)", False),
        ("(a < b) & Eq(a, 3)", True),
        ("(a > b) | ~Eq(a, 3)", False),
        ("(a > b) | (a < 2*b) & (b > 4)", True),
        ("a + b", None),
        ("1 < a < b", True),
        ("c < a", None),
        ("f(a) < b", None),
        ("a", None),
        ("Eq(a // 0, 1)", None),
    ],
)
def test_a_condition_holds_or_does_not_or_is_none(text, truth):
    assert holds(text, {"a": 3, "b": 5}) is truth
