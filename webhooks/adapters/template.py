"""A body from a template that the endpoint's owner writes: a small part of Jinja2, in its sandbox.

Templates may insert values, choose with `if`, and filter. `check` refuses loops, calls, assignments and multiplication
at registration, so that no template can keep a process busy or fill its memory: the result is bounded by the lengths
of the template and the event.
"""

from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from webhooks.adapters.body import Body, Reading
from webhooks.events import Event

LONGEST = 4096
"""Characters of a template."""
LONGEST_EXPRESSION = 64
"""Tokens of one expression or statement. Jinja2 parses and compiles nested operators in more than linear time."""
MOST_SIGNS = 2
"""Signs and `not` that follow each other: one token of these is one level."""
DEEPEST = 16
"""Levels of nested `if`; Python compiles fewer than 100."""
_SIGNS = frozenset({"not", "-", "+"})
_BEGINS = frozenset({"variable_begin", "block_begin"})
_ENDS = frozenset({"variable_end", "block_end"})

_FILTERS = frozenset({"default", "float", "int", "lower", "round", "title", "tojson", "upper"})
_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Const,
    nodes.Name,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Filter,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Add,
    nodes.Sub,
    nodes.Neg,
)
_NAMES = frozenset({"type", "timestamp", "data", "value", "ttl"})


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.tests.clear()
    return environment


_ENVIRONMENT = _environment()


def check(source: str) -> None:
    """Refuse a template that is malformed or uses more than the permitted part of Jinja2.

    Raises:
        ValueError: The template is refused; the text gives the reason.
    """
    if len(source) > LONGEST:
        raise ValueError(f"a template has at most {LONGEST} characters")
    try:
        _check_size(source)
        parsed = _ENVIRONMENT.parse(source)
        for node in parsed.find_all(nodes.Node):
            if not isinstance(node, _ALLOWED):
                raise ValueError(
                    f"line {node.lineno}: templates may put values in, choose with 'if' and filter: "
                    f"{type(node).__name__} is refused"
                )
            if isinstance(node, nodes.Filter) and not _harmless(node):
                raise ValueError(f"line {node.lineno}: filter {node.name!r} does not take these arguments here")
            if isinstance(node, nodes.Name) and node.name not in _NAMES:
                raise ValueError(f"line {node.lineno}: there is no {node.name!r}: use {', '.join(sorted(_NAMES))}")
        _compiled(source)
    except (TemplateError, RecursionError, SyntaxError) as error:
        raise ValueError(f"no template: {error}") from None


def render(event: Event, reading: Reading, source: str, content_type: str) -> Body:
    """Return the rendered template. It knows `type`, `timestamp`, `data` (the event), `value`, `ttl` (the reading).

    An unknown figure is `none`: `{{ data.shares.cheering|default(0, true) }}`, or `data.fit == none`.

    Args:
        event: The event.
        reading: Its value and time to live.
        source: The template.
        content_type: Media type of the result.

    Raises:
        ValueError: The template names something that this event lacks.

    Example:
        `<mood ttl="{{ ttl }}">{{ value }}</mood>` gives `<mood ttl="5">happy</mood>`
    """
    names = event.payload() | {"value": reading.value, "ttl": reading.ttl_s}
    try:
        return Body(_compiled(source).render(names).encode(), content_type)
    except Exception as error:  # an owner's template must not stop the dispatcher
        raise ValueError(f"the template fails: {error}") from None


def _check_size(source: str) -> None:
    """Refuse long expressions and deep nesting before they are parsed, by tokens alone, in linear time."""
    tokens, signs, depth, begins = 0, 0, 0, False
    for line, kind, text in _ENVIRONMENT.lex(source):
        if kind in _BEGINS:
            tokens, signs, begins = 0, 0, kind == "block_begin"
        elif kind not in _ENDS and kind not in ("data", "whitespace"):
            tokens += 1
            signs = signs + 1 if text in _SIGNS else 0
            if begins:
                depth += {"if": 1, "endif": -1}.get(text, 0)
            begins = False
        if tokens > LONGEST_EXPRESSION:
            raise ValueError(f"line {line}: an expression has at most {LONGEST_EXPRESSION} names, values and operators")
        if signs > MOST_SIGNS:
            raise ValueError(f"line {line}: at most {MOST_SIGNS} of 'not', '-' and '+' may follow each other")
        if depth > DEEPEST:
            raise ValueError(f"line {line}: 'if' may be nested at most {DEEPEST} levels deep")


def _harmless(node: nodes.Filter) -> bool:
    """Return whether a filter's result stays small and fast, unlike that of `tojson(indent=1000000)`."""
    if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
        return False
    if node.name == "round":
        return all(isinstance(given, nodes.Const) and given.value in range(10) for given in node.args[:1]) and (
            len(node.args) <= 1
        )
    return not node.args or (node.name == "default" and len(node.args) <= 2)


@lru_cache(maxsize=256)
def _compiled(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)
