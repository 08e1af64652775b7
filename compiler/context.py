"""Text <-> IR: every op knows its line, every error is found in one go.

    parse_file("net.mlir")     net.mlir:3:8: error: a gather keeps every axis ..
                                   3 |   %c = sparse.gather %f[%d] "i a" : ..
                                     |        ^
    print_module(module)       text with locations that parses back to the same module

An op that names no location of its own gets `file:line:column` of the text it was read from. Errors in the text and
broken laws are `UserError`s; when there are several, one `CombinedError` holds all of them.
"""

import contextlib
import io
import linecache
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import FileLineColLoc, IntAttr, LocationAttr, ModuleOp, StringAttr, UnknownLoc
from xdsl.ir import Block, Dialect, Operation, SSAValue
from xdsl.parser import Parser
from xdsl.parser.generic_parser import ParserState
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException
from xdsl.utils.lexer import Input, Token
from xdsl.utils.mlir_lexer import MLIRLexer, MLIRToken, MLIRTokenKind, StringLiteral

from ..dialects.diagnostics import CombinedError, Place, UserError, did_you_mean, place_of

DIALECTS: dict[str, str] = {
    "builtin": "xdsl.dialects.builtin:Builtin",
    "func": "xdsl.dialects.func:Func",
    "scf": "xdsl.dialects.scf:Scf",
    "arith": "xdsl.dialects.arith:Arith",
    "aten": "gossamer.dialects.aten:Aten",
    "sparse": "gossamer.dialects.sparse:Sparse",
    "snn": "gossamer.dialects.snn:Snn",
    "core": "gossamer.dialects.core:Core",
    "comm": "gossamer.dialects.comm:Comm",
    "cf": "xdsl.dialects.cf:Cf",
    "kernel": "gossamer.dialects.kernel:Kernel",
    "remat": "gossamer.dialects.remat:Remat",
    "tier": "gossamer.dialects.tier:Tier",
    "memref": "xdsl.dialects.memref:MemRef",
    "vector": "xdsl.dialects.vector:Vector",
    "llvm": "xdsl.dialects.llvm:LLVM",
}
"""Every dialect that our text may use, and where it is defined; imported when first met."""

MESSAGES: dict[str, str] = {
    "Could not parse entire input!": "expected an operation",
    "End of file reached before closing string literal.": "this string is not closed on its line",
}
"""What xDSL's parser says in fewer words than a reader needs."""


def load_dialect(name: str) -> Dialect:
    """The dialect called `name`, one of `DIALECTS`."""
    module, attribute = DIALECTS[name].split(":")
    return getattr(import_module(module), attribute)


def make_context(*, allow_unregistered: bool = False) -> Context:
    """A context that knows all of `DIALECTS`; each is imported when its first op or type is met."""
    context = Context(allow_unregistered=allow_unregistered)
    for name in DIALECTS:
        context.register_dialect(name, lambda name=name: load_dialect(name))
    return context


class Lexer(MLIRLexer):
    """xDSL's lexer, for text in any language.

    A string that is never closed is an error at once (xDSL's pattern tries every way to end one), and one that is not
    ASCII stays text: `"gr\\C3\\BCn"` is grün.
    """

    _unescaped_characters_regex = re.compile(r'"(?:[^"\\\n\v\f]++|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+"')

    def _lex_string_literal(self, start_pos: int) -> MLIRToken:
        token = super()._lex_string_literal(start_pos)
        with contextlib.suppress(UnicodeDecodeError):
            StringLiteral.from_span(token.span).bytes_contents.decode()
            return Token(MLIRTokenKind.STRING_LIT, token.span)
        return token


class LocatingParser(Parser):
    """xDSL's parser; `places` holds where each op stands in the text, and ops without a location get that one."""

    def __init__(self, context: Context, text: str, name: str):
        self.name, self.places = name, dict[Operation, Place]()
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.end_of_location = -1
        super().__init__(context, "", name)
        self._parser_state = ParserState(Lexer(Input(text, name)))

    def place(self, position: int) -> Place:
        """Line and column of a position in the text."""
        line = bisect_right(self.line_starts, position)
        return Place(self.name, line, position - self.line_starts[line - 1] + 1)

    def parse_optional_location(self) -> LocationAttr | None:
        location = super().parse_optional_location()
        if location is not None:
            self.end_of_location = self.pos
        return location

    def parse_operation(self) -> Operation:
        place = self.place(self.pos)
        try:
            op = super().parse_operation()
        except VerifyException as error:
            raise UserError(str(error).strip(), place=place) from None
        except ValueError as error:
            raise UserError(f"a type or an attribute here is incomplete: {error}", place=place) from None
        self.places[op] = place
        if isinstance(op.location, UnknownLoc) and self.end_of_location != self.pos:
            op.location = FileLineColLoc(StringAttr(place.file), IntAttr(place.line), IntAttr(place.column))
        return op

    def _get_op_by_name(self, name: str) -> type[Operation]:
        found = self.ctx.get_optional_op(name, dialect_stack=self._parser_state.dialect_stack)
        if found is None:
            position = self.lexer.input.content.rfind(name, 0, self.pos)
            raise UserError(f"no op '{name}'", place=self.place(position), hint=self.known_ops(name))
        return found

    def undefined_values(self) -> list[UserError]:
        """One error for each value that is used and never defined, at its first use."""
        text, errors = self.lexer.input.content, []
        for name in self.forward_ssa_references:
            use = re.search(rf"%{re.escape(name)}(?![\w$.-])", text)
            place = self.place(use.start()) if use else None
            errors.append(UserError(f"%{name} is not defined", place=place, hint=did_you_mean(name, self.ssa_values)))
        return errors

    def known_ops(self, name: str) -> str:
        """A hint for an op name that is not known."""
        dialect = self.ctx.get_optional_dialect(name.partition(".")[0])
        if dialect is None:
            return did_you_mean(name.partition(".")[0], DIALECTS)
        return did_you_mean(name, (op.name for op in dialect.operations))


def parse_text(text: str, name: str = "<text>", context: Context | None = None) -> ModuleOp:
    """Read and verify a module. Raises UserError at the place in `name` where the text is at fault."""
    remember(name, text)
    if not text.strip():
        raise UserError("the file is empty", place=Place(name, 1), hint="an empty module is `builtin.module {}`")
    parser = None
    try:
        parser = LocatingParser(context or make_context(), text, name)
        module = parser.parse_module()
    except ParseError as error:
        if parser and (undefined := parser.undefined_values()):
            raise combined(undefined) from None
        where, message = error.span.get_location(), error.msg.strip()
        raise UserError(MESSAGES.get(message, message), place=Place(where.file, where.line, where.col)) from None
    except RecursionError:
        raise UserError("this is nested too deeply", place=parser and parser.place(parser.pos)) from None
    verify(module, parser.places)
    return module


def remember(name: str, text: str) -> None:
    """Let errors show lines of `text` under the file name `name`."""
    linecache.cache[name] = (len(text), None, [f"{line}\n" for line in text.split("\n")], name)


def parse_file(path: str | Path, context: Context | None = None) -> ModuleOp:
    """Read and verify the module in the file at `path`. Raises UserError when it cannot be read or is at fault."""
    return parse_text(read_text(path), str(path), context)


def read_text(path: str | Path) -> str:
    """The text of a file. Raises UserError when there is none or it is no text."""
    path = Path(path)
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        siblings = [p.name for p in path.parent.glob("*") if p.is_file()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, siblings) if siblings else ""
        raise UserError(f"{path}: no such file", hint=hint if hint.startswith("did") else "") from None
    except IsADirectoryError:
        raise UserError(f"{path}: this is a folder, not a file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: this is no text: byte {error.start} is no UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside `path`, in a folder made if need be, that takes its place at the end unless an error leaves the
    block. Raises UserError when it cannot be written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, with the folders it needs. Raises UserError when it cannot be written."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def verify(module: ModuleOp, places: Mapping[Operation, Place] | None = None) -> None:
    """Raise every broken law of `module`, each at its op's place in the text, or else at its location."""
    errors: list[UserError] = []
    for op, message in broken_laws(module):
        text, origin = (places or {}).get(op), place_of(op)
        details = [f"from {origin}"] if text and origin and (origin.file, origin.line) != (text.file, text.line) else []
        errors.append(UserError(f"{op.name}: {message}", place=text or origin, details=details))
    if errors:
        raise combined(errors)


def combined(errors: Sequence[UserError]) -> UserError:
    """One error for all of `errors`, at least one."""
    return errors[0] if len(errors) == 1 else CombinedError(errors)


def broken_laws(module: ModuleOp) -> Iterator[tuple[Operation, str]]:
    """Every op that breaks a law with what it breaks, in the order of the text.

    A verifier may fail where it builds on a law that another op breaks: that counts only if no law is broken.
    """
    order = {op: index for index, op in enumerate(module.walk())}
    broken, failure = False, None
    for op in order:
        try:
            laws = [*own_laws(op), *use_laws(op, order)]
        except Exception as error:
            failure = failure or error
            continue
        yield from ((op, law) for law in laws)
        broken = broken or bool(laws)
    if failure and not broken:
        raise failure


def own_laws(op: Operation) -> Iterator[str]:
    """What `op` itself, and the empty blocks in it, break."""
    try:
        op.verify(verify_nested_ops=False)
        for block in (block for region in op.regions for block in region.blocks if not block.ops):
            block.verify()
    except VerifyException as error:
        yield str(error).strip()


def use_laws(op: Operation, order: Mapping[Operation, int]) -> Iterator[str]:
    """A value is used after it is defined, where it is visible."""
    for operand in dict.fromkeys(op.operands):
        if not is_visible(operand, op, order):
            yield f"%{operand.name_hint or '?'} is used where it is not defined yet"


def is_visible(value: SSAValue, user: Operation, order: Mapping[Operation, int]) -> bool:
    """Does `value` stand before `user` in a block around it? (A region of several blocks is not followed.)"""
    owner = value.owner
    block = owner if isinstance(owner, Block) else owner.parent
    ancestor = block.find_ancestor_op_in_block(user) if block else None
    if block is None or ancestor is None:
        return block is not None and block.parent is not None and len(block.parent.blocks) > 1
    return isinstance(owner, Block) or order[owner] < order[ancestor]


class ModulePrinter(Printer):
    """Names that are read back as they are: the parser drops one `_1` from a name, so values carry none."""

    def print_ssa_value(self, value: SSAValue) -> str:
        while value.name_hint and (shorter := SSAValue.extract_valid_name(value.name_hint)) != value.name_hint:
            value.name_hint = shorter or None
        return super().print_ssa_value(value)


def print_module(module: ModuleOp, *, locations: bool = True, generic: bool = False) -> str:
    """The text of a module, ending in a newline. With locations it parses back to the same module."""
    stream = io.StringIO()
    ModulePrinter(stream, print_debuginfo=locations, print_generic_format=generic).print_op(module)
    return stream.getvalue() + "\n"
