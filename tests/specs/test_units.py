import math
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specs import units
from specs.errors import SpecError
from specs.units import DIMENSIONS, SECONDS, TIME, format_quantity, human, parse_quantity, parse_share

finite = st.floats(0, 1e300)
dimensions = st.sampled_from([*DIMENSIONS, SECONDS])


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("20 ms", units.TIME, 20),
        ("20ms", units.TIME, 20),
        ("  1.5   s ", units.TIME, 1500),
        ("250 us", units.TIME, 0.25),
        ("250 µs", units.TIME, 0.25),
        ("2 h", units.TIME, 7_200_000),
        ("1e3 ms", units.TIME, 1000),
        (".5 ms", units.TIME, 0.5),
        ("1_000 ms", units.TIME, 1000),
        ("256 KiB", units.MEMORY, 262_144),
        ("256 KB", units.MEMORY, 256_000),
        ("1 MiB", units.MEMORY, 1_048_576),
        ("12 B", units.MEMORY, 12),
        ("0.5 W", units.POWER, 500),
        ("3 mJ", units.ENERGY, 3),
        ("0.003 J", units.ENERGY, 3),
        ("2.4 Ah", units.CHARGE, 2400),
        ("3.7 V", units.VOLTAGE, 3.7),
        ("0.02 mA", units.CURRENT, 20),
        ("12 h", units.DURATION, 0.5),
        ("86400 s", units.DURATION, 1),
        ("2 y", units.DURATION, 730.5),
        ("45 C", units.TEMPERATURE, 45),
        ("12 USD", units.MONEY, 12),
        ("10 EUR", units.MONEY, 10 * units.EUR_IN_USD),
    ],
)
def test_quantities_are_read_in_the_canonical_unit(text, dimension, value):
    assert parse_quantity(text, dimension) == value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (20, "write 20 ms"),
        (2.5, "write 2.5 ms"),
        ("20", "write 20 ms"),
        ("20 MS", "did you mean 'ms'?"),
        ("20 sec", "did you mean 's'?"),
        ("20 KiB", "KiB is a unit of memory"),
        ("20 parsec", "wrong unit for time"),
        ("-1 ms", "must not be negative"),
        ("1e999 ms", "not finite"),
        ("1e999999999 ms", "not finite"),
        ("nan ms", "not a quantity of time"),
        ("inf ms", "not a quantity of time"),
        ("", "not a quantity of time"),
        ("ms", "not a quantity of time"),
        ("5 ms 6 ms", "not a quantity of time"),
        ("٣ ms", "not a quantity of time"),
        ("1" * 100_000 + " x y", "not a quantity of time"),
        (True, "not a quantity of time"),
        (None, "not a quantity of time"),
        ([5], "not a quantity of time"),
        ({"ms": 5}, "not a quantity of time"),
        pytest.param(10**6000, "needs a unit", id="huge"),
        (math.nan, "needs a unit"),
    ],
)
def test_what_is_no_quantity_says_so(value, says):
    with pytest.raises(SpecError) as caught:
        parse_quantity(value, TIME)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400


def test_below_zero_only_where_allowed():
    assert parse_quantity("-20 C", units.TEMPERATURE, negative=True) == -20
    with pytest.raises(SpecError):
        parse_quantity("-20 C", units.TEMPERATURE)


def test_tiny_numbers_do_not_hang():
    assert parse_quantity("1e-999999999 ms", TIME) == 0


@settings(deadline=None)
@given(finite, dimensions)
def test_format_and_parse_round_trip(value, dimension):
    assert parse_quantity(format_quantity(value, dimension), dimension) == value


@settings(deadline=None)
@given(st.decimals(0, 10**6, places=4), dimensions, st.data())
def test_a_quantity_is_the_same_number_in_every_decimal_unit(number, dimension, data):
    small, large = data.draw(st.tuples(*[st.sampled_from(sorted(dimension.units))] * 2))
    ratio = dimension.units[large] / dimension.units[small]
    power = round(math.log10(ratio))
    if not math.isclose(ratio, 10.0**power, rel_tol=1e-12) or not -6 <= power <= 6:
        return
    first = parse_quantity(f"{number:f} {large}", dimension)
    assert parse_quantity(f"{number.scaleb(power):f} {small}", dimension) == first


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_quantity_or_a_spec_error(text):
    with suppress(SpecError):
        assert parse_quantity(text, TIME) >= 0


@pytest.mark.parametrize(
    ("value", "share"),
    [(0.92, 0.92), ("92 %", 0.92), ("92%", 0.92), ("92.3 %", 0.923), (1, 1.0), (0, 0.0), ("100 %", 1.0), ("9e-1", 0.9)],
)
def test_shares(value, share):
    found = parse_share(value)
    assert found == share
    assert isinstance(found, float)


@pytest.mark.parametrize(
    "value",
    [
        1.01,
        -0.1,
        92,
        "101 %",
        "-1 %",
        "92 C",
        "%",
        "",
        True,
        None,
        [],
        {},
        math.nan,
        math.inf,
        pytest.param(10**6000, id="huge"),
        "1e999",
    ],
)
def test_what_is_no_share(value):
    with pytest.raises(SpecError, match="not a share"):
        parse_share(value)


def test_no_negative_zero():
    assert math.copysign(1, parse_share(-0.0)) == 1
    assert math.copysign(1, parse_quantity("-0 ms", TIME)) == 1


def test_every_unit_has_an_exact_factor():
    for dimension in (*DIMENSIONS, SECONDS):
        assert dimension.units[dimension.canonical] == 1
        for unit in dimension.units:
            assert parse_quantity(f"1 {unit}", dimension) == pytest.approx(dimension.units[unit], rel=1e-15)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "B", "0 B"),
        (1536, "B", "1.5 KiB"),
        (0.25, "ms", "250 us"),
        (2.53e-6, "ms", "2.53 ns"),
        (0, "ms", "0 ms"),
        (20, "ms", "20 ms"),
        (731, "d", "2 y"),
        (5, "C", "5 C"),
    ],
)
def test_figures_for_people(value, unit, text):
    assert human(value, unit) == text
