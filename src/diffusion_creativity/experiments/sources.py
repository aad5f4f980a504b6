"""On which code a result depends, and the hash that tells whether it has changed."""

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path

from .registry import Config

NAME = "diffusion_creativity"
PACKAGE = Path(__file__).resolve().parents[1]
# How runs are kept and what callers may pass: they do not decide what is computed.
ASIDE = {PACKAGE / "experiments" / "registry.py", PACKAGE / "_validate.py"}
EVERYTHING = "*"  # all definitions of a file
REST = ""  # its statements that define no name: they run on import


def source_hash(path: Path, name: str) -> str:
    """Hash of a function of a file and of all code of the package that it may reach.

    Names are followed from definition to definition, through imports (those inside functions too)
    and whole classes, so that an edit elsewhere in a module changes nothing. Comments, docstrings,
    annotations of arguments, and the file in which a definition lies do not count; nor do the
    function's own decorators. A module imported by a computed name is not followed: so the readers
    of data files do not count, and the files have hashes of their own.
    """
    _module.cache_clear()
    pieces = {_module(file).code(symbol) for file, symbol in reachable(path, name)}
    return hashlib.sha256("\n\n".join(sorted(pieces)).encode()).hexdigest()[:16]


def config_hash(config: Config) -> str:
    """Hash of what a unit computes: all fields but `variants` and `seeds`."""
    fields = {k: v for k, v in asdict(config).items() if k not in ("variants", "seeds")}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def reachable(path: Path, name: str) -> set[tuple[Path, str]]:
    """Return the definitions (file, name) that a function may reach, itself included."""
    path = path.resolve()
    options = (n for n in _module(path).defined.get(name, []) if isinstance(n, ast.FunctionDef))
    function = next(options, None)
    if function is None:
        raise ValueError(f"an experiment must be a function at the top of its module, got {name!r}")
    function.decorator_list.clear()  # they hold the configurations, which have their own hash
    found: set[tuple[Path, str]] = set()
    todo = [(path, name)]
    while todo:
        symbol = todo.pop()
        if symbol not in found and symbol[0] not in ASIDE:
            found.add(symbol)
            todo += _module(symbol[0]).uses(symbol[1])
    return found


class _Module:
    """The definitions of a file by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = path.read_text(encoding="utf-8").splitlines()
        inside = path.is_relative_to(PACKAGE)
        self.package = [NAME, *path.relative_to(PACKAGE).parts[:-1]] if inside else []
        self.defined: dict[str, list[ast.stmt]] = {REST: []}
        tree = ast.parse("\n".join(self.lines))
        self.imports = self.imported(tree.body)
        for node in tree.body:
            for name in _names(node):
                self.defined.setdefault(name, []).append(node)

    def imported(self, nodes: list[ast.stmt]) -> dict[str, list[str]]:
        """Names that import statements bind, functions' own left out, with their dotted parts."""
        found = {}
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    parts = alias.name.split(".")
                    found[alias.asname or parts[0]] = parts if alias.asname else parts[:1]
            elif isinstance(node, ast.ImportFrom):
                base = self.package[: len(self.package) - node.level + 1] if node.level else []
                base = base + (node.module.split(".") if node.module else [])
                found |= {alias.asname or alias.name: [*base, alias.name] for alias in node.names}
        return found

    def statements(self, symbol: str) -> list[ast.stmt]:
        """Return the statements that define a name; all of them where it is not known."""
        if symbol in self.imports:
            return []
        everything = [node for nodes in self.defined.values() for node in nodes]
        return self.defined.get(symbol, everything)

    def uses(self, symbol: str) -> Iterator[tuple[Path, str]]:
        """Return the definitions of the package that a definition names."""
        yield self.path, REST
        for name, parts in self.imports.items():
            if symbol == name or symbol not in (self.imports | self.defined):
                yield from _resolve(parts)
        for statement in self.statements(symbol):
            nodes = [n for n in ast.walk(statement) if isinstance(n, ast.Import | ast.ImportFrom)]
            imports = self.imports | self.imported(nodes)
            for head, *attributes in _chains(statement):
                if head in imports:
                    yield from _resolve([*imports[head], *attributes])
                elif head in self.defined:
                    yield self.path, head

    def code(self, symbol: str) -> str:
        """Return the text that defines a name, without what does not count."""
        texts = []
        for node in self.statements(symbol):
            top = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            texts.append(_stripped("\n".join(self.lines[top - 1 : node.end_lineno])))
        return "\n".join(texts)


@cache
def _module(path: Path) -> _Module:
    return _Module(path)


def _names(node: ast.stmt) -> list[str]:
    """Names that a statement at the top of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return []
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    simple = isinstance(node, ast.Assign | ast.AnnAssign)
    names = [target.id for target in targets if simple and isinstance(target, ast.Name)]
    return names or [REST]


def _chains(node: ast.AST) -> Iterator[list[str]]:
    """Names and dotted names in a piece of code, annotations left out."""
    if isinstance(node, ast.Name):
        yield [node.id]
        return
    inner, attributes = node, []
    while isinstance(inner, ast.Attribute):
        attributes.insert(0, inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        yield [inner.id, *attributes]
        return
    for field, value in ast.iter_fields(inner):
        if field not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _chains(child)


def _resolve(parts: list[str]) -> Iterator[tuple[Path, str]]:
    """The definition of the package that a dotted name means, if it is one of the package."""
    if parts[0] != NAME:
        return
    count = 1
    while count < len(parts) and _file(parts[: count + 1]):
        count += 1
    file = _file(parts[:count])
    if file:
        yield file, (parts[count] if count < len(parts) else EVERYTHING)


def _file(parts: list[str]) -> Path | None:
    place = PACKAGE.joinpath(*parts[1:])
    options = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in options if file.is_file()), None)


def _stripped(text: str) -> str:
    """The text without comments, docstrings, blank lines and blanks at line ends."""
    lines = text.splitlines()
    dropped = []
    statement = True  # whether a statement begins here: a string that is all of one is no code
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for token, after in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        alone = token.type == tokenize.STRING and after.type in (tokenize.NEWLINE, tokenize.COMMENT)
        if token.type == tokenize.COMMENT or (statement and alone):
            dropped.append((token.start, token.end))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            statement = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    for (top, left), (bottom, right) in reversed(dropped):
        lines[top - 1 : bottom] = [lines[top - 1][:left] + lines[bottom - 1][right:]]
    return "\n".join(line.rstrip() for line in lines if line.strip())
