"""Figures: what is drawn is what was given, and names are text."""

from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from explorer import figures
from explorer.errors import ParameterError

NAN, INF = float("nan"), float("inf")
NASTY = "<b>bold</b> & <a href='javascript:alert(1)'>link</a> %{x}"


def trace(figure: go.Figure, name: str) -> go.Scatter:
    return next(item for item in figure.data if item.name == name)


def sum_of_three(**options) -> go.Figure:
    # Baseline 0.5; channel 7 adds 2, channel 1 adds 1, channel 4 takes 3.
    return figures.running_sum(np.array([0.5, 2.5, 3.5, 0.5]), np.array([7, 1, 4]), 0.5, **options)


def a_scatter(names=("GAP", "GMP"), **options) -> go.Figure:
    return figures.scatter(np.array([0.0, 1.0, 2.0]), np.array([0.5, 4.0, 3.0]), np.array([0.1, -2.0, 0.0]), *names,
                           **options)


def a_path(names=("cat", "dog"), logarithmic=True, **options) -> go.Figure:
    probabilities = np.array([[0.5, 0.25], [0.4, 0.35], [0.3, 0.45]])[:, : len(names)]
    return figures.path(np.array([1.0, 3.0, 10.0]), probabilities, names, "p", logarithmic, **options)


def some_curves(names=("evidence", "by chance"), controls=("by chance",), **axes) -> go.Figure:
    lines = dict(zip(names, ([0.9, 0.2, 0.0], [0.9, 0.7, 0.1], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]), strict=False))
    return figures.curves(np.array([0.0, 0.25, 1.0]), lines, controls, **{"x_name": "share", "y_name": "what is left"}
                          | axes)


def some_rising(names=("GAP", "GMP"), at=0.3, **axes) -> go.Figure:
    lines = dict(zip(names, ([-0.2, 0.5, 1.0], [0.1, NAN, 0.9]), strict=True))
    return figures.rising(np.array([0.05, 0.2, 1.0]), lines, at, **{"x_name": "size", "y_name": "logit"} | axes)


ALL = {"running sum": sum_of_three, "scatter": a_scatter, "path": a_path, "curves": some_curves, "rising": some_rising}


# All of them.


@pytest.mark.parametrize("name", ALL)
def test_a_figure_is_quiet(name):
    figure = ALL[name]()
    layout = figure.layout
    for colour in (layout.paper_bgcolor, layout.plot_bgcolor):
        assert colour == "rgba(0, 0, 0, 0)"
    assert layout.dragmode is False
    assert layout.xaxis.fixedrange is True
    assert layout.yaxis.fixedrange is True
    assert layout.font.size == 13
    assert max(layout.margin.l, layout.margin.r, layout.margin.t, layout.margin.b) <= 32
    assert layout.title.text is None
    json.loads(figure.to_json())


def test_the_colour_of_text_is_left_to_the_template():
    for name in ALL:
        figure = ALL[name]()
        figure.update_layout(template=None)
        plain = json.loads(figure.to_json())

        def fonts(value, path=()):
            if isinstance(value, dict):
                for key, inner in value.items():
                    if "font" in key:
                        assert "color" not in inner, path
                    fonts(inner, (*path, key))
            elif isinstance(value, list):
                for inner in value:
                    fonts(inner, path)

        fonts(plain)


def luminance(colour: str) -> float:
    """As WCAG 2.2 has it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_colours_of_lines_can_be_told_from_white_and_from_black():
    for colour in (*figures._CLASSES, figures._ACCENT, figures._GREY):
        for background in (0.0, 1.0):
            pair = sorted((luminance(colour), background))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) > 2


# The running sum.


def test_the_running_sum_is_drawn_as_it_is():
    figure = sum_of_three()
    first, line = figure.data[0], trace(figure, "running sum")
    assert (list(first.x), list(first.y)) == ([0, 1], [0.5, 2.5])
    assert (list(line.x), list(line.y)) == ([1, 2, 3], [2.5, 3.5, 0.5])
    assert np.asarray(line.customdata).tolist() == [[7, 2], [1, 1], [4, -3]]
    assert "channel %{customdata[0]" in line.hovertemplate
    assert "%{customdata[1]" in line.hovertemplate


def test_the_baseline_the_carrying_channels_and_the_logit_are_marked():
    marks = trace(sum_of_three(carrying_count=2), "marks")
    assert list(zip(marks.x, marks.y, marks.text, strict=True)) == [
        (0, 0.5, "baseline 0.50"), (2, 3.5, "first 2"), (3, 0.5, "logit 0.50")]
    assert len(trace(sum_of_three(), "marks").x) == 2
    assert len(trace(sum_of_three(carrying_count=0), "marks").x) == 2
    assert trace(figures.running_sum([-1.0, -2.25], [0], -1.0), "marks").text == ("baseline −1.00", "logit −2.25")


def test_the_unit_is_on_the_axis_and_in_the_hover():
    figure = sum_of_three(unit="bits <i>")
    assert figure.layout.yaxis.title.text == "bits &lt;i&gt;"
    assert "bits &lt;i&gt;" in trace(figure, "running sum").hovertemplate


def test_a_running_sum_that_does_not_fit_its_order_is_refused():
    for running, order in (([1.0, 2.0], [0, 1]), ([1.0], [0]), ([[1.0, 2.0]], [0])):
        with pytest.raises(ParameterError, match=r"\(C \+ 1,\) and \(C,\)"):
            figures.running_sum(np.array(running), np.array(order), 0.0)


@pytest.mark.filterwarnings("error")
def test_one_channel_and_numbers_that_are_not_finite_are_drawn():
    assert len(figures.running_sum([0.0, 1.0], [0], 0.0, 1).data) == 3
    figure = figures.running_sum([0.0, INF, NAN], [1, 0], 0.0)
    assert trace(figure, "marks").text[-1] == "logit not a number"
    json.loads(figure.to_json())


# The scatter.


def test_every_channel_is_a_marker_that_carries_its_number():
    figure = a_scatter()
    marks = trace(figure, "channels")
    assert (list(marks.x), list(marks.y)) == ([0, 1, 2], [0.5, 4, 3])
    assert np.asarray(marks.customdata).tolist() == [0, 1, 2]
    assert list(marks.marker.color) == pytest.approx([0.1, -2, 0])
    assert "channel %{customdata}" in marks.hovertemplate
    assert figure.layout.xaxis.title.text == "pooled value under GAP"
    assert figure.layout.yaxis.title.text == "pooled value under GMP"


def test_the_colours_are_centred_on_no_difference_with_red_for_more():
    marker = trace(a_scatter(), "channels").marker
    assert (marker.cmin, marker.cmid, marker.cmax) == (-2, 0, 2)
    (_, lowest), *_, (_, highest) = marker.colorscale
    middle = marker.colorscale[len(marker.colorscale) // 2]
    red = {name: int(colour[1:3], 16) - int(colour[5:7], 16) for name, colour in
           (("low", lowest), ("high", highest), ("middle", middle[1]))}
    assert red["low"] < -50
    assert red["high"] > 50
    assert (middle[0], red["middle"]) == (0.5, 0)
    assert marker.colorbar.title.text == "logits"


def test_the_diagonal_spans_all_values():
    line = a_scatter().data[0]
    assert list(line.x) == list(line.y) == [0, 4]


def test_a_chosen_channel_is_ringed():
    assert [item.name for item in a_scatter().data] == [None, "channels"]
    ring = trace(a_scatter(chosen=2), "chosen")
    assert (list(ring.x), list(ring.y), list(ring.customdata)) == ([2], [3], [2])
    assert trace(a_scatter(chosen=0), "chosen").customdata[0] == 0
    for chosen in (3, -1):
        with pytest.raises(ParameterError, match=f"no channel {chosen}"):
            a_scatter(chosen=chosen)


def test_a_scatter_of_two_thousand_channels_stays_small():
    numbers = np.random.default_rng(0).random((3, 2048))
    text = figures.scatter(*numbers, "GAP", "GMP", chosen=5).to_json()
    assert len(text) < 80_000
    marks = json.loads(text)["data"][1]
    for values in (marks["x"], marks["y"], marks["customdata"], marks["marker"]["color"], marks["marker"]["opacity"]):
        assert "bdata" in values


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, NAN, INF, -3.0])
def test_channels_that_are_all_alike_or_not_finite_are_drawn(value):
    figure = figures.scatter(*np.full((3, 4), value), "GAP", "GMP")
    assert trace(figure, "channels").marker.cmax > 0
    opacity = trace(figure, "channels").marker.opacity
    assert all(0 <= item <= 1 for item in opacity)
    json.loads(figure.to_json())


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ParameterError, match="three times"):
        figures.scatter(np.ones(3), np.ones(2), np.ones(3), "a", "b")
    with pytest.raises(ParameterError, match="three times"):
        figures.scatter(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)), "a", "b")


# The path.


def test_each_class_is_a_line_in_percent():
    figure = a_path()
    assert list(trace(figure, "cat").x) == [1, 3, 10]
    assert list(trace(figure, "cat").y) == pytest.approx([50, 40, 30])
    assert list(trace(figure, "dog").y) == pytest.approx([25, 35, 45])
    assert figure.layout.showlegend is True
    assert figure.layout.yaxis.ticksuffix == "%"
    assert figure.layout.yaxis.range[0] == 0
    assert figure.layout.yaxis.range[1] >= 100
    assert figure.layout.xaxis.title.text == "p"


def test_the_axis_is_logarithmic_only_when_asked():
    assert a_path().layout.xaxis.type == "log"
    assert list(a_path().layout.xaxis.tickvals) == [1, 2, 5, 10]
    assert a_path(logarithmic=False).layout.xaxis.type is None
    narrow = figures.path(np.geomspace(0.02, 1, 5), np.ones((5, 1)), ["cat"], "share", True)
    assert list(narrow.layout.xaxis.tickvals) == [0.02, 0.05, 0.1, 0.2, 0.5, 1]


def test_the_parameter_as_it_is_now_has_a_line():
    assert len(a_path().data) == 2
    line = trace(a_path(at=3.0), "p now")
    assert list(line.x) == [3, 3]
    assert list(line.y) == [0, 100]
    assert line.showlegend is False


def test_both_ends_are_named_at_their_side():
    figure = a_path(low_end="GAP", high_end="towards GMP & <more>")
    assert [(item.x, item.xanchor, item.text) for item in figure.layout.annotations] == [
        (0, "left", "GAP"), (1, "right", "towards GMP &amp; &lt;more&gt;")]
    assert not a_path().layout.annotations


def test_many_classes_differ_in_colour_or_dash():
    figure = figures.path([1.0, 2.0], np.full((2, 20), 0.05), [str(n) for n in range(20)], "p", False)
    assert len({(item.line.color, item.line.dash) for item in figure.data}) == 20
    assert len({item.line.color for item in figure.data[:6]}) == 6


def test_one_class_and_numbers_that_are_not_finite_are_drawn():
    figure = figures.path([1.0, NAN], [[NAN], [0.5]], ["only"], "p", True, at=NAN)
    assert trace(figure, "only").showlegend is True
    json.loads(figure.to_json())


def test_probabilities_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match="2 values times 1 classes"):
        figures.path([1.0, 2.0], np.ones((2, 2)), ["cat"], "p", False)


# The curves.


def test_each_curve_is_drawn_as_it_is_over_the_same_shares_of_one():
    figure = some_curves()
    assert [item.name for item in figure.data] == ["evidence", "by chance"]
    assert list(trace(figure, "evidence").y) == [0.9, 0.2, 0.0]
    assert list(trace(figure, "by chance").y) == [0.9, 0.7, 0.1]
    assert [list(item.x) for item in figure.data] == [[0, 0.25, 1]] * 2
    assert {item.mode for item in figure.data} == {"lines"}
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("share", "what is left")
    assert list(figure.layout.xaxis.range) == [0, 1]
    assert figure.layout.yaxis.rangemode == "tozero"
    assert figure.layout.showlegend is True
    # Shares from 0 to 1 are said in percent, on the axes and where one points.
    assert figure.layout.xaxis.tickformat == figure.layout.yaxis.tickformat == ".0%"
    assert "%{x:.0%}: %{y:.1%}" in trace(figure, "evidence").hovertemplate


def test_controls_are_grey_and_dashed_and_all_others_are_neither():
    figure = some_curves(("evidence", "by chance", "Grad-CAM", "edges"), ("edges", "by chance"))
    controls = [trace(figure, name).line for name in ("by chance", "edges")]
    others = [trace(figure, name).line for name in ("evidence", "Grad-CAM")]
    for line in controls:
        red, green, blue = (int(line.color[n : n + 2], 16) for n in (1, 3, 5))
        assert red == green == blue
        assert line.dash not in (None, "solid")
    assert controls[0].dash != controls[1].dash
    assert len({line.color for line in (*others, controls[0])}) == 3
    assert {line.dash for line in others} == {None}
    assert min(line.width for line in others) > max(line.width for line in controls)


def test_a_curve_that_another_covers_is_wider_than_it_and_one_that_crosses_is_not():
    shares = np.linspace(0, 1, 9)
    lines = {"under": shares, "crosses": 1 - shares, "over": shares + 0.001, "random": shares}
    widths = [trace.line.width for trace in figures.curves(shares, lines, ["random"], "share", "probability").data]
    under, crosses, over, random = widths
    assert under > over > random
    assert crosses == 2.5
    classes = np.stack([shares, shares, 1 - shares], 1)
    under, over, other = (trace.line.width for trace in figures.path(shares, classes, list("abc"), "p", False).data)
    assert under > over == other


def test_curves_beyond_the_colours_and_dashes_there_are_are_drawn_too():
    many = {str(n): np.full(2, n / 20) for n in range(20)}
    for controls in ((), tuple(many)):
        figure = figures.curves(np.array([0.0, 1.0]), many, controls, "share", "left")
        assert [float(item.y[0]) for item in figure.data] == [n / 20 for n in range(20)]


def test_curves_with_numbers_that_are_not_finite_and_no_curves_at_all_are_drawn():
    json.loads(figures.curves([0.0, 1.0], {"a": [NAN, INF]}, [], "share", "left").to_json())
    assert not figures.curves([0.0, 1.0], {}, [], "share", "left").data


def test_a_curve_that_does_not_fit_its_shares_is_refused():
    for values in (np.ones(2), np.ones((3, 1)), np.ones(0)):
        with pytest.raises(ParameterError, match=r"the shares \(3,\); expected \(n,\) each"):
            figures.curves(np.array([0.0, 0.5, 1.0]), {"one": np.ones(3), "other": values}, [], "share", "left")


# What rises with a scale.


def test_what_rises_is_drawn_over_the_logarithm_of_the_scale_below_zero_and_with_gaps():
    figure = some_rising()
    line, other, now = trace(figure, "GAP"), trace(figure, "GMP"), trace(figure, "now")
    assert (list(line.x), list(line.y)) == ([0.05, 0.2, 1.0], [-0.2, 0.5, 1.0])
    assert np.isnan(other.y[1])
    assert list(now.x) == [0.3, 0.3]
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.tickvals) == [0.05, 0.1, 0.2, 0.5, 1]
    assert figure.layout.yaxis.rangemode is None, "what is below zero is not cut off"
    assert line.line.color != other.line.color
    assert line.line.dash != other.line.dash
    assert "now" not in [item.name for item in some_rising(at=None).data]
    with pytest.raises(ParameterError, match=r"the scales \(2,\); expected \(n,\) each"):
        figures.rising(np.array([0.1, 1.0]), {"one": np.ones(3)}, None, "size", "logit")


# Names are text.


def texts(figure: go.Figure) -> list[str]:
    """Every text of a figure that a name may be in, without the line breaks that are meant."""
    result = [figure.layout.xaxis.title.text, figure.layout.yaxis.title.text]
    for item in figure.data:
        result += [item.name or "", (item.hovertemplate or "").replace("<br>", " ").replace("<extra></extra>", "")]
    result += [item.text for item in figure.layout.annotations]
    return [text for text in result if text]


@pytest.mark.parametrize("figure", [
    a_scatter(names=(NASTY, NASTY)), a_path(names=(NASTY, "dog")), sum_of_three(unit=NASTY),
    figures.path([1.0], [[1.0]], ["x"], NASTY, False, at=1.0, low_end=NASTY, high_end=NASTY),
    some_curves(names=(NASTY, "by chance")), some_curves(x_name=NASTY, y_name=NASTY),
    some_rising(names=(NASTY, "GMP")), some_rising(x_name=NASTY, y_name=NASTY),
], ids=["scatter", "path", "unit", "parameter", "curves", "axes", "rising", "axes of rising"])
def test_html_in_names_is_never_html(figure):
    for text in texts(figure):
        assert "<" not in text
        assert ">" not in text
    assert any("&lt;b&gt;bold" in text for text in texts(figure))


def test_a_name_cannot_ask_a_hover_for_values():
    figure = a_path(names=("%{x} cat", "dog"))
    assert "%{x} cat" not in trace(figure, "%{x} cat").hovertemplate
    assert "% {x} cat" in trace(figure, "%{x} cat").hovertemplate


def test_a_long_name_is_shortened_before_it_is_escaped():
    long = "&" * 40
    name = a_path(names=(long, "dog")).data[0].name
    assert name == "&amp;" * 27 + "…"
    assert a_path(names=("x" * 28, "dog")).data[0].name == "x" * 28
    assert a_path(names=("two\nlines\tand more", "dog")).data[0].name == "two lines and more"


def test_what_is_learned_is_drawn_with_its_spread_at_each_size():
    lines = {"GAP": ([5, 10], [0.7, 0.8], [0.02, 0.01]), "Flatten <b>": ([5], [0.6], [0.05])}
    figure = figures.learning(lines, 10, "photos", "right")
    now, first, second = figure.data
    assert (list(now.x), list(now.y)) == ([10, 10], [0, 1])
    assert (list(first.x), list(first.y), list(first.error_y.array)) == ([5, 10], [0.7, 0.8], [0.02, 0.01])
    assert second.name == "Flatten &lt;b&gt;"
    assert list(figure.layout.xaxis.tickvals) == [5, 10]
    assert figure.layout.yaxis.range[0] == pytest.approx(0.6 - 0.05 - 0.03)
    assert figure.layout.yaxis.range[1] == 1
    with pytest.raises(ParameterError, match="2 sizes, 1 means and 2 deviations"):
        figures.learning({"GAP": ([5, 10], [0.7], [0.1, 0.1])}, None, "photos", "right")
    assert len(figures.learning({}, None, "photos", "right").data) == 0


def test_values_that_are_no_shares_are_not_drawn_in_percent():
    shares = np.array([0.0, 0.5, 1.0])
    curve = figures.curves(shares, {"GAP": np.array([58.0, 44.0, 31.0])}, [], "share", "value", in_percent=False)
    path = figures.path(np.array([1.0, 3.0]), np.array([[58.0], [61.0]]), ["age"], "p", True, 2.0, in_percent=False)
    assert [trace.y[0] for trace in (curve.data[0], path.data[-1])] == [58.0, 58.0]
    for figure in (curve, path):
        assert figure.layout.yaxis.tickformat is figure.layout.yaxis.ticksuffix is figure.layout.yaxis.range is None
        assert all("%" not in trace.hovertemplate.partition("y:")[2].partition("}")[0] for trace in figure.data
                   if trace.hovertemplate)
