"""The colours of the status page: whoever sees less can read it too (WCAG 2.2 §1.4.3, §1.4.11)."""

from __future__ import annotations

import re

import pytest

from relay.admin.page import ASSETS

TEXT, GRAPHICS = 4.5, 3.0
# Which colours of text meet which grounds, as page.css has it.
GROUNDS = {
    "paper": ("ink", "soft", "link", "good", "idle", "warn", "bad"),
    "panel": ("ink",),
    "sunk": ("ink", "soft"),
    "good-wash": ("ink", "good"),
    "warn-wash": ("ink", "warn", "bad"),
    "bad-wash": ("ink", "soft", "good", "idle", "warn", "bad"),
}
SHAPES = ("focus", "soft", "bar-signed", "bar-unsigned", "bar-refused", "bar-unknown", "good")


def palettes() -> dict[str, dict[str, str]]:
    """The named colours, for light and for dark."""
    text = ASSETS["/assets/page.css"][1].decode()
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    named = r"--([a-z-]+): (#[0-9a-f]{6});"
    return {
        "light": dict(re.findall(named, light)),
        "dark": dict(re.findall(named, light)) | dict(re.findall(named, dark)),
    }


def luminance(colour: str) -> float:
    """The relative luminance of a colour, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """How far two colours can be told apart: from 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_measure_is_the_one_of_the_standard() -> None:
    """Black on white is 21, and the grey that just passes just passes."""
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert round(contrast("#767676", "#ffffff"), 2) == 4.54


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(scheme: str) -> None:
    """4.5 : 1 wherever text meets a ground."""
    palette = palettes()[scheme]
    weak = {
        (text, ground): round(contrast(palette[text], palette[ground]), 2)
        for ground, texts in GROUNDS.items()
        for text in texts
        if contrast(palette[text], palette[ground]) < TEXT
    }
    assert not weak


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_shape_can_be_seen(scheme: str) -> None:
    """3 : 1 for bars, the focus ring and the borders of buttons."""
    palette = palettes()[scheme]
    weak = {
        shape: round(contrast(palette[shape], palette["paper"]), 2)
        for shape in SHAPES
        if contrast(palette[shape], palette["paper"]) < GRAPHICS
    }
    assert not weak


def test_both_schemes_name_the_same_colours() -> None:
    """A colour that is only named for light would glare in the dark."""
    text = ASSETS["/assets/page.css"][1].decode()
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    named = r"--([a-z-]+): #"
    assert re.findall(named, light) == re.findall(named, dark)


def test_every_colour_has_a_name() -> None:
    """What is written out elsewhere would escape these tests."""
    text = ASSETS["/assets/page.css"][1].decode()
    rest = re.sub(r":root \{.*?\}", "", text, flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-f]{3,8}\b(?![^{]*\{)|rgba?\(|hsla?\(", rest)


def test_motion_is_left_out_for_whoever_wants_none() -> None:
    """Every transition and smooth scroll stands where motion is welcome."""
    text = ASSETS["/assets/page.css"][1].decode()
    before, _, welcome = text.partition("@media (prefers-reduced-motion: no-preference)")
    moving = r"transition|animation|scroll-behavior"
    assert re.search(moving, welcome)
    assert not re.search(moving, before)
