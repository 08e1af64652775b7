"""Collectives leave time for what does not wait for them, in the order that all ranks have."""

from gossamer.tests.passes.programs import check, check_stays

T, P = "tensor<8x8xf32>", "!comm.pending<tensor<8x8xf32>>"


def step(body: str, results: str = "") -> str:
    """A step of two arguments; `T`, `P` and short forms of ops are written out."""
    lines = []
    for line in filter(None, map(str.strip, body.splitlines())):
        name, _, rest = line.partition(" = ")
        verb, *operands = rest.split()
        attributes = ' attributes {train.phase = "backward"}' if verb.endswith("'") else ""
        verb, plain = verb.rstrip("'"), ' {train.phase = "backward"}' if attributes else ""
        match verb:
            case "start":
                lines.append(f'{name} = comm.all_reduce sum {operands[0]} in "{operands[1]}"{plain} : ({T}) -> {P}')
            case "wait":
                lines.append(f"{name} = comm.wait {operands[0]}{plain} : ({P}) -> {T}")
            case "write":
                lines.append(f'{name} = aten.call mutates "aten.neg_.default"({operands[0]}) : ({T}) -> {T}')
            case "draw":
                lines.append(f'{name} = aten.call random "aten.bernoulli.p"({operands[0]}, 0.5) : ({T}) -> {T}')
            case _:
                types = ", ".join([T] * len(set(operands)))
                lines.append(f'{name} = aten.call "aten.{verb}"({", ".join(operands)}){attributes} : ({types}) -> {T}')
    values = ", ".join(results.split())
    types = ", ".join([T] * len(results.split()))
    return (
        f"func.func @step(%x: {T}, %g: {T}) -> ({types}) {{\n"
        + "\n".join(lines)
        + f"\nfunc.return {values} : {types}\n}}"
    )


def opens(before: str, after: str, results: str) -> None:
    """`before` becomes `after`, and that stays."""
    check("open-windows", step(before, results), step(after, results))
    check_stays("open-windows", step(after, results))


def test_gradients_of_weights_run_while_those_of_the_input_are_summed():
    opens(
        """
        %w = mm.default %x %g
        %d = mm.default %g %g
        %p = start %d 0
        %y = wait %p
        %s = neg.default %w
        %n = neg.default %y
        """,
        """
        %d = mm.default %g %g
        %p = start %d 0
        %w = mm.default %x %g
        %s = neg.default %w
        %y = wait %p
        %n = neg.default %y
        """,
        "%s %n",
    )


def test_views_of_what_arrives_wait_with_it():
    opens(
        """
        %p = start %x 0
        %y = wait %p
        %v = t.default %y
        %a = neg.default %g
        %n = mm.default %v %a
        """,
        """
        %p = start %x 0
        %a = neg.default %g
        %y = wait %p
        %v = t.default %y
        %n = mm.default %v %a
        """,
        "%n",
    )


def test_collectives_keep_their_order_and_those_of_a_group_are_waited_for_in_it():
    opens(
        """
        %a = neg.default %x
        %p = start %a 0
        %y = wait %p
        %q = start %x 1
        %z = wait %q
        %r = start %g 0
        %u = wait %r
        %b = neg.default %u
        %c = neg.default %y
        """,
        """
        %a = neg.default %x
        %p = start %a 0
        %q = start %x 1
        %r = start %g 0
        %y = wait %p
        %u = wait %r
        %b = neg.default %u
        %c = neg.default %y
        %z = wait %q
        """,
        "%b %c %z",
    )


def test_nothing_passes_a_write():
    body = """
        %a = neg.default %x
        %b = neg.default %x
        %w = write %g
        %p = start %a 0
        %y = wait %p
        %v = write %b
        %n = neg.default %y
        """
    check_stays("open-windows", step(body, "%w %v %n"))


def test_random_ops_draw_in_turn():
    """The second draw is not needed for the start, but the first is, and comes before it."""
    check_stays(
        "open-windows",
        step(
            """
            %a = draw %x
            %b = draw %g
            %c = draw %a
            %p = start %c 0
            %y = wait %p
            """,
            "%b %y",
        ),
    )


def test_work_stays_in_its_pass():
    """Else memory of the forward pass would be counted into the backward pass."""
    body = """
        %l = neg.default %x
        %d = mm.default' %g %g
        %p = start' %d 0
        %y = wait' %p
        """
    check_stays("open-windows", step(body, "%l %y"))
