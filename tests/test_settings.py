"""Settings classes: what is read, what is refused and how that is said, and their schemas."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jsonschema
import pytest

from force2geo.errors import UserError
from force2geo.settings import LEFT_OUT, limits, plain, read, setting
from force2geo.settings_schema import schema


@dataclass(frozen=True)
class Wheel:
    spokes: int = setting("how many", 32, least=3, most=48)
    rim: float = setting("outer diameter", unit="cm", above=0, below=100)


@dataclass(frozen=True)
class Chain:
    name: Literal["chain"] = setting("this drive")
    links: int = setting("how many", 110, least=1)


@dataclass(frozen=True)
class Belt:
    name: Literal["belt"] = setting("this drive")
    width: float = setting("across", 1.2, unit="cm", above=0)


@dataclass(frozen=True)
class Bought:
    shop: str = setting("where")
    price: float = setting("paid", 0.0)


@dataclass(frozen=True)
class Built:
    parts: tuple[str, ...] = setting("of what", fewest=2, distinct=True)


@dataclass(frozen=True)
class Bicycle:
    frame: str = setting("its number", matches=r"^[A-Z]\d+$")
    front: Wheel = setting("wheel", Wheel(rim=62.0))
    drive: Chain | Belt = setting("what pulls", Chain(name="chain"))
    origin: Bought | Built | None = setting("where from", None)
    tyres: dict[str, float] = setting("bar by wheel", {}, above=0, names="^(front|back)$")
    spares: dict[str, Wheel] = setting("more wheels", {})
    gears: int | dict[str, int] = setting("teeth, of all or by ring", 42, least=10)
    ratio: tuple[float, Annotated[int, limits(least=1)]] = setting("of two", (0.5, 2))
    lamp: Literal["led", None] = setting("its kind", None)
    bell: bool = setting("whether there is one", LEFT_OUT)
    notes: Any = setting("anything", LEFT_OUT)


USUAL = {
    "frame": "A1", "front": {"spokes": 32, "rim": 62.0}, "drive": {"name": "chain", "links": 110},
    "origin": None, "tyres": {}, "spares": {}, "gears": 42, "ratio": [0.5, 2], "lamp": None,
}  # fmt: skip
GOOD = [
    ({}, {}),
    ({"front": {"rim": 50}}, {"front": {"spokes": 32, "rim": 50.0}}),
    ({"drive": {"name": "belt"}}, {"drive": {"name": "belt", "width": 1.2}}),
    ({"origin": {"shop": "x"}}, {"origin": {"shop": "x", "price": 0.0}}),
    ({"origin": {"parts": ["a", "b"]}}, {"origin": {"parts": ["a", "b"]}}),
    ({"tyres": {"front": 4}}, {"tyres": {"front": 4.0}}),
    ({"spares": {"old": {"rim": 3.5}}}, {"spares": {"old": {"spokes": 32, "rim": 3.5}}}),
    ({"gears": {"small": 28}}, {"gears": {"small": 28}}),
    ({"ratio": (1, 3)}, {"ratio": [1.0, 3]}),
    ({"lamp": "led", "bell": True, "notes": [1, {"a": None}]},
     {"lamp": "led", "bell": True, "notes": [1, {"a": None}]}),
]  # fmt: skip
BAD = [
    ({"frame": "1A"}, r"'frame' is '1A' does not match ^[A-Z]\d+$"),
    ({"frame": 3}, "'frame' is 3, not a text"),
    ({"fork": 1}, "it takes no 'fork', only frame, front, drive"),
    ({"front": {}}, "'front.rim' is missing"),
    ({"front": {"rim": 100}}, "'front.rim' is 100.0, not a number above 0 and below 100"),
    ({"front": {"rim": float("nan")}}, "'front.rim' is nan, not a number above 0 and below 100"),
    ({"front": {"rim": 1, "spokes": 49}}, "not a whole number of at least 3 and of at most 48"),
    ({"front": {"rim": 1, "spokes": 3.0}}, "'front.spokes' is 3.0, not a whole number"),
    ({"front": {"rim": 1, "spokes": True}}, "'front.spokes' is True, not a whole number"),
    ({"front": {"rim": 1, "hub": 2}}, "'front': it takes no 'hub', only spokes, rim"),
    ({"front": None}, "'front' is None, not keys with values"),
    ({"drive": {"links": 3}}, "'drive.name' is missing, one of chain, belt"),
    ({"drive": {"name": "shaft"}}, "'drive.name' is 'shaft', not one of chain, belt"),
    ({"drive": {"name": "belt", "links": 3}}, "'drive': it takes no 'links', only name, width"),
    ({"origin": {"shop": "x", "parts": ["a", "b"]}},
     "'origin' is shop, parts, not one of: shop (and price); parts"),
    ({"origin": {"price": 2.0}}, "'origin' is price, not one of"),
    ({"origin": "x"}, "'origin' is 'x', not one of: shop (and price); parts"),
    ({"origin": {"parts": ["a"]}}, "'origin.parts' is ['a'], fewer than 2"),
    ({"origin": {"parts": ["a", "a"]}}, "'origin.parts' is ['a', 'a'], one of them twice"),
    ({"tyres": {"middle": 4.0}}, "'tyres.middle' is the name does not match"),
    ({"tyres": {"back": 0}}, "'tyres.back' is 0.0, not a number above 0"),
    ({"spares": {"old": {"rim": 0}}}, "'spares.old.rim' is 0.0, not a number above 0"),
    ({"gears": 9}, "'gears' is 9, not a whole number of at least 10"),
    ({"gears": {"small": 9}}, "'gears.small' is 9, not a whole number of at least 10"),
    ({"ratio": [1.0]}, "'ratio' is [1.0], not a list of 2"),
    ({"ratio": [1.0, 0]}, "'ratio.1' is 0, not a whole number of at least 1"),
    ({"lamp": "candle"}, "'lamp' is 'candle', not one of led, null"),
    ({"bell": "yes"}, "'bell' is 'yes', not true or false"),
    ({"front": {"rim": "1e1"}}, "(in YAML, a number in powers of ten has a point: 1.0e-5)"),
]  # fmt: skip


def valid(values):
    return jsonschema.Draft202012Validator(schema(Bicycle)).is_valid(values)


@pytest.mark.parametrize(("given", "changed"), GOOD)
def test_what_is_given_is_read_and_the_rest_is_the_default(given, changed):
    found = plain(read(Bicycle, {"frame": "A1"} | given, "bicycle"))
    assert found == USUAL | changed and list(found)[:9] == list(USUAL)
    assert plain(read(Bicycle, found, "again")) == found
    listed = {key: list(v) if isinstance(v, tuple) else v for key, v in given.items()}
    assert valid({"frame": "A1"} | listed) and valid(found)


@pytest.mark.parametrize(("given", "message"), BAD)
def test_a_mistake_is_one_line_that_names_the_key(given, message):
    with pytest.raises(UserError) as caught:
        read(Bicycle, {"frame": "A1"} | given, "bicycle")
    said = str(caught.value)
    assert said.startswith("bicycle: ") and message in said and "\n" not in said
    # JSON has no such number, and a schema takes 3.0 for a whole one.
    assert given in ({"front": {"rim": 1, "spokes": 3.0}}, BAD[5][0]) or not valid(
        {"frame": "A1"} | given
    )


def test_defaults_of_names_are_not_shared():
    one, other = (read(Bicycle, {"frame": "A1"}, "bicycle") for _ in range(2))
    one.tyres["front"] = 3.0
    assert other.tyres == {}


def test_a_schema_says_what_the_class_says():
    found = schema(Bicycle)
    assert found["required"] == ["frame"] and "bell" not in found["required"]
    assert found["$defs"]["Wheel"]["properties"]["rim"] == {
        "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100,
        "description": "outer diameter (cm)",
    }  # fmt: skip
    assert found["properties"]["front"]["default"] == {"spokes": 32, "rim": 62.0}
    assert "default" not in found["properties"]["bell"]
    assert set(found["$defs"]) == {"Wheel", "Chain", "Belt", "Bought", "Built"}
