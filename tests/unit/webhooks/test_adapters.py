"""Bodies, as their documentation shows them."""

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import examples
from api.webhook_samples import sample
from crowdmood.domain.labels import LABELS
from crowdmood.domain.override import Override, Overrides
from webhooks.adapters import Adapter, AdapterName, template
from webhooks.adapters.body import Reading
from webhooks.events import Event, EventType, Watch

NOW_MS = 1_780_000_000_000


def adapter(name: AdapterName, source: str = "") -> Adapter:
    return Adapter(name, "crowd_mood", "unavailable", source, "application/xml")


def event(type_: EventType = EventType.MOOD_CHANGED) -> Event:
    return sample(type_, "1", NOW_MS)


def text(name: AdapterName, happened: Event, source: str = "", now_ms: int = NOW_MS) -> str:
    return adapter(name, source).render(happened, now_ms).content.decode()


def test_standard_contains_every_field() -> None:
    sent = json.loads(text(AdapterName.STANDARD, event(EventType.CAMERA_DOWN)))
    assert sent["type"] == "camera.down"
    assert sent["timestamp"] == sent["data"]["since"] == "2026-05-28T20:26:40.000Z"
    assert (sent["data"]["camera"], sent["data"]["state"]) == ("north", "down")


def test_xibo_gets_one_criterion() -> None:
    assert text(AdapterName.XIBO, event()) == '[{"metric":"crowd_mood","value":"happy","ttl":5}]'
    assert adapter(AdapterName.XIBO).render(event(), NOW_MS).content_type == "application/json"


def test_broadsign_gets_one_condition_on_and_all_others_off_before() -> None:
    sent = json.loads(text(AdapterName.BROADSIGN, event()))
    assert sent["ttl"] == 5
    assert sent["conditions"][-1] == {"name": "crowd_mood_happy", "enabled": 1}
    off = {"name": "crowd_mood_angry", "enabled": 0}
    assert off in sent["conditions"]
    names = [condition["name"] for condition in sent["conditions"]]
    assert sorted(names) == sorted(f"crowd_mood_{value}" for value in (*LABELS, "mixed", "unavailable"))
    assert sum(condition["enabled"] for condition in sent["conditions"]) == 1


def test_text_is_a_word_and_a_time_to_live() -> None:
    assert text(AdapterName.TEXT, event()) == "happy 5\n"


@pytest.mark.parametrize("name", [AdapterName.XIBO, AdapterName.BROADSIGN, AdapterName.TEXT])
def test_players_hear_the_fallback_when_there_is_no_mood(name: AdapterName) -> None:
    sent = text(name, event(EventType.MOOD_UNAVAILABLE))
    assert "unavailable" in sent and "60" in sent
    assert Reading.of(event(EventType.CAMERA_DOWN), NOW_MS, "none").value == "none"


@pytest.mark.parametrize(("later_ms", "ttl_s"), [(0, 5), (1, 5), (1000, 4), (4001, 1), (5000, 1), (90_000, 1)])
def test_the_time_to_live_is_what_is_left_when_it_is_sent(later_ms: int, ttl_s: int) -> None:
    assert Reading.of(event(EventType.MOOD_UPDATED), NOW_MS + later_ms, "none") == Reading("happy", ttl_s)


def test_a_template_puts_values_in() -> None:
    source = '<mood ttl="{{ ttl }}">{{ value }}</mood>'
    body = adapter(AdapterName.TEMPLATE, source).render(event(), NOW_MS)
    assert body.content == b'<mood ttl="5">happy</mood>'
    assert body.content_type == "application/xml"
    choosing = (
        "{% if value == 'happy' and data.readable > 20 %}{{ data.shares.happy|round(1) }}{% else %}-{% endif %}\n"
    )
    template.check(choosing)
    assert text(AdapterName.TEMPLATE, event(), choosing) == "0.5\n"
    figures = "{{ data.people }} {{ data.readable }} {{ data.energy }} {{ data.fit }} {{ data.shares.cheering }}"
    template.check(figures)
    assert text(AdapterName.TEMPLATE, event(EventType.MOOD_UPDATED), figures) == "500 400 0.26 0.9 0.22"
    assert json.loads(text(AdapterName.TEMPLATE, event(), "{{ data|tojson }}")) == event().data


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{{ data.shares.cheering|default(0, true) }}", "0"),
        ("{{ (data.shares.cheering or 0)|round(2) }}", "0"),
        ("{% if data.energy == none %}not known{% endif %}", "not known"),
        ("{{ data.shares.cheering|tojson }}", "null"),
        ("{{ data.shares.happy|default(0, true) }}", "0.56"),
    ],
)
def test_a_template_may_say_what_stands_for_a_figure_that_is_not_known(source: str, made: str) -> None:
    template.check(source)
    watch = Watch("0-0", "0-0")
    happened = watch.updated(b"1780000000000-0", examples.SEVEN_LABELS, recorded=False)
    assert happened is not None
    assert text(AdapterName.TEMPLATE, happened, source) == made


@pytest.mark.parametrize(("show", "left_s", "word"), [("anthem", 30, "anthem 30"), ("default", 30, "unavailable 60")])
def test_players_get_the_creative_of_an_override_until_its_end_or_the_fallback(
    show: str, left_s: int, word: str
) -> None:
    watch = Watch("0-0", "0-0")
    watch.updated(b"1780000000000-0", examples.OK, recorded=True)
    stop = Override("stadium", "stadium", show, 0, NOW_MS + left_s * 1000, "", 0, None)
    (happened,) = watch.overrides_seen(Overrides([stop]), NOW_MS)
    assert text(AdapterName.TEXT, happened) == f"{word}\n"
    conditions = json.loads(text(AdapterName.BROADSIGN, happened))["conditions"]
    assert [one["name"] for one in conditions if one["enabled"]] == ["crowd_mood_unavailable"]
    assert json.loads(text(AdapterName.XIBO, happened))[0]["value"] == word.split()[0]
    assert text(AdapterName.TEXT, happened, now_ms=NOW_MS + 40_000) == "unavailable 60\n"  # it arrives too late


def test_players_get_cheering_as_a_word_of_its_own() -> None:
    singing = replace(examples.OK, dominant="cheering")
    happened = Watch("0-0", "0-0").updated(b"1780000000000-0", singing, recorded=True)
    assert happened is not None
    assert text(AdapterName.TEXT, happened) == "cheering 5\n"
    assert json.loads(text(AdapterName.XIBO, happened))[0]["value"] == "cheering"
    conditions = json.loads(text(AdapterName.BROADSIGN, happened))["conditions"]
    assert conditions[-1] == {"name": "crowd_mood_cheering", "enabled": 1}


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in data %}x{% endfor %}",
        "{% set a = 1 %}",
        "{% macro a() %}{% endmacro %}",
        "{% include 'a' %}",
        "{% import 'a' as b %}",
        "{% extends 'a' %}",
        "{% filter upper %}a{% endfilter %}",
        "{{ 'a' * 999999999 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ 'a'.ljust(999999999) }}",
        "{{ data.items() }}",
        "{{ range(9) }}",
        "{{ value|center(999999999) }}",
        "{{ value|default(1, true, 2) }}",
        "{{ value|default(default_value=1) }}",
        "{{ data|tojson(indent=999999999) }}",
        "{{ 1.5|round(999999999, 'ceil') }}",
        "{{ config }}",
        "{{ self }}",
        "{{ [1, 2] }}",
        "{{ value ",
        "(" * 5000,
        "{{ " + "(" * 1500 + "1" + ")" * 1500 + " }}",
        "{{ " + "not " * 1000 + "ttl }}",
        "{{ " + "-" * 4000 + "ttl }}",
        "{{ ttl" + "|int" * 1000 + " }}",
        "{{ 1 " + "if ttl else 1 " * 250 + "}}",
        "{{ data" + ".a" * 1900 + " }}",
        "{% if " + "not " * 1000 + "ttl %}{% endif %}",
        "{% if ttl %}" * 150 + "x" + "{% endif %}" * 150,
        "{%if ttl%}" * 17 + "x" + "{%endif%}" * 17,
    ],
)
def test_a_template_that_could_do_more_is_refused_when_it_is_registered(source: str) -> None:
    with pytest.raises(ValueError, match=r"line \d|no template|at most"):
        template.check(source)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("not ", ""),
        ("-", ""),
        ("(", ")"),
        ("--(", ")"),
        ("not not (", ")"),
        ("-(ttl + ", ")"),
        ("ttl if ttl else ", ""),
        ("ttl and ", ""),
        ("ttl + ", ""),
        ("ttl|int + ", ""),
        ("ttl < ", ""),
        ("data[", "]"),
        ("ttl|default(", ")"),
    ],
)
def test_a_template_of_the_longest_expressions_is_checked_within_a_second(before: str, after: str) -> None:
    """The time grows more than linearly with the length and the nesting of an expression."""

    def expression(parts: int) -> str:
        return "{{ " + before * parts + "ttl" + after * parts + " }}"

    parts = 1
    while _accepted(expression(parts + 1)):
        parts += 1
    source = expression(parts) * (template.LONGEST // len(expression(parts)))
    started_s = time.process_time()
    template.check(source)
    assert time.process_time() - started_s < 1.0


def _accepted(source: str) -> bool:
    try:
        template.check(source)
    except ValueError:
        return False
    return True


def test_an_if_may_be_nested_to_the_limit() -> None:
    source = "{% if ttl %}" * template.DEEPEST + "{{ value }}" + "{% endif %}" * template.DEEPEST
    template.check(source)
    assert text(AdapterName.TEMPLATE, event(), source) == "happy"


@pytest.mark.parametrize(
    "source",
    [
        "{{ data.__class__ }}",
        "{{ value.__init__ }}",
        "{{ data['__class__']['__mro__'] }}",
        "{{ data.to.upper.__globals__ }}",
        "{{ data.nothing }}",
    ],
)
def test_a_template_that_reaches_for_what_is_not_there_fails_alone(source: str) -> None:
    template.check(source)
    with pytest.raises(ValueError, match="the template fails"):
        text(AdapterName.TEMPLATE, event(), source)


@given(st.text(alphabet="{}%|()[]'+-*. abdtvalue~0123456789\n", max_size=60))
def test_whatever_is_written_is_refused_or_rendered_small(source: str) -> None:
    try:
        template.check(source)
        made = text(AdapterName.TEMPLATE, event(), source)
    except ValueError:
        return
    assert len(made) < 60 * len(json.dumps(event().payload()))
