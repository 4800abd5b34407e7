"""A body that the endpoint's owner writes: a small part of Jinja2, in its sandbox.

Templates may put values in, choose with `if`, and filter. What could loop, call, assign or multiply is refused when the
template is registered, so that no template can keep a process busy or fill its memory: what comes out is bounded by
the template's length and the event's.
"""

from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from webhooks.adapters.body import Body, Reading
from webhooks.events import Event

LONGEST = 4096
"""Characters of a template."""

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
    """Refuse a template that cannot work, or that may do more than put values in.

    Raises:
        ValueError: Why.
    """
    if len(source) > LONGEST:
        raise ValueError(f"a template has at most {LONGEST} characters")
    try:
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
    except (TemplateError, RecursionError) as error:
        raise ValueError(f"no template: {error}") from None


def render(event: Event, reading: Reading, source: str, content_type: str) -> Body:
    """Return the template with `type`, `timestamp`, `data` (the event), `value` and `ttl` (of the reading) put in.

    A figure that is not known is `none`: `{{ data.shares.cheering|default(0, true) }}`, or `data.fit == none`.

    Args:
        event: What happened.
        reading: The event as a signage player understands it.
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
    except Exception as error:  # whatever an owner wrote, it must not stop the dispatcher
        raise ValueError(f"the template fails: {error}") from None


def _harmless(node: nodes.Filter) -> bool:
    """Whether a filter's arguments cannot make it large or slow, as `tojson(indent=1000000)` would be."""
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
