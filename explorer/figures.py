"""Arrays to Plotly figures, quiet ones: transparent, without zoom, and legible on light and on dark.

Colours of marks are mid-tones; the colour of text is left to the template. Names are a user's text, and Plotly reads
some HTML in text: they are escaped, and shortened.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from explorer.errors import ParameterError

# Okabe and Ito's colours (Color Universal Design, 2008) without black and yellow, which one of the themes swallows.
_CLASSES = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
_DASHES = ("solid", "dash", "dot", "dashdot")
# ColorBrewer's RdBu as in explorer.render: blue is negative, red positive.
_SIGNED = ("#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b")
_ACCENT, _GREY, _FAINT = "#d55e00", "#8c8c8c", "rgba(140, 140, 140, 0.25)"
_LONGEST_NAME = 28
_NEAR, _MUCH = 0.012, 0.4  # of the height: curves that close cover each other; of the points between the ends
_LEGEND_BELOW = {"orientation": "h", "yref": "container", "y": 0, "x": 0, "maxheight": 200}  # px


def running_sum(
    running: np.ndarray, order: np.ndarray, baseline: float, carrying_count: int | None = None, unit: str = "logits",
    number: str = "logit",
) -> go.Figure:
    """The logit as it grows, channel by channel.

    Args:
        running: (C + 1,), the baseline and then the sum after each channel; the last is the logit.
        order: (C,), the channels' numbers in the order of their contributions.
        baseline: of the class.
        carrying_count: how many of the first channels to mark; None marks none.
        unit: of all of these; `number` is what one of them is called.

    Raises:
        ParameterError: `order` does not have one number less than `running`.
    """
    running, order = np.asarray(running, dtype=np.float64), np.asarray(order)
    if order.ndim != 1 or running.shape != (len(order) + 1,):
        raise ParameterError(f"The running sum has shape {running.shape} and the order {order.shape}; expected "
                             "(C + 1,) and (C,).")
    places = np.arange(1, len(order) + 1)
    with np.errstate(invalid="ignore"):
        contributions = np.diff(running)
    figure = _quiet(320)
    # The first stretch is a separate trace: no channel stands at its beginning, for the other trace to name.
    figure.add_scatter(x=[0, 1], y=running[:2], mode="lines", line={"color": _GREY, "width": 2}, hoverinfo="skip")
    figure.add_scatter(
        x=places, y=running[1:], mode="lines", line={"color": _GREY, "width": 2}, name="running sum",
        customdata=np.column_stack([order.astype(np.float64), contributions]),
        hovertemplate=f"channel %{{customdata[0]:.0f}}: %{{customdata[1]:+.3f}} {_text(unit)}<br>"
                      "sum of the first %{x}: %{y:.2f}<extra></extra>",
    )
    marks = [(0, baseline, f"baseline {_plain(baseline)}", "top right")]
    if carrying_count is not None and 0 < carrying_count <= len(order):
        marks.append((carrying_count, running[carrying_count], f"first {carrying_count:,}", "bottom right"))
    marks.append((len(order), running[-1], f"{_text(number)} {_plain(running[-1])}", "top left"))
    x, y, texts, positions = zip(*marks, strict=True)
    figure.add_scatter(
        x=x, y=y, text=texts, textposition=positions, mode="markers+text", name="marks", cliponaxis=False,
        marker={"color": _ACCENT, "size": 8}, hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(title="channels, by what they contribute", rangemode="tozero")
    figure.update_yaxes(title=_text(unit))
    return figure


def scatter(
    pooled_a: np.ndarray, pooled_b: np.ndarray, contribution_difference: np.ndarray, name_a: str, name_b: str,
    chosen: int | None = None, unit: str = "logits",
) -> go.Figure:
    """Every channel under two poolings: one marker each, whose `customdata` is the channel's number.

    Args:
        pooled_a, pooled_b: (C,), pooled values: across, and upwards.
        contribution_difference: (C,), in that unit; it gives the colour, on a scale that is signed and centred on 0.
        name_a, name_b: of the poolings.
        chosen: a channel to ring.
        unit: of the differences.

    Raises:
        ParameterError: arrays of different lengths, or a chosen channel that is not among them.
    """
    # Single precision and numpy's own type: so Plotly sends 4 bytes a number and not its digits.
    across, upwards, difference = (
        np.asarray(array, dtype=np.float32) for array in (pooled_a, pooled_b, contribution_difference)
    )
    if not (across.ndim == 1 and across.shape == upwards.shape == difference.shape):
        raise ParameterError(f"The arrays have shapes {across.shape}, {upwards.shape} and {difference.shape}; expected "
                             "(C,) three times.")
    if chosen is not None and not 0 <= chosen < len(across):
        raise ParameterError(f"There is no channel {chosen!r}; expected a whole number from 0 to {len(across) - 1}.")
    names = _text(name_a), _text(name_b)
    values = np.concatenate([across, upwards])
    ends = _range(values[np.isfinite(values)])
    limit = float(np.abs(difference[np.isfinite(difference)]).max(initial=0)) or 1.0
    strength = np.sqrt(np.abs(np.nan_to_num(difference, nan=0, posinf=limit, neginf=-limit)) / limit)
    figure = _quiet(420)
    figure.add_scatter(x=ends, y=ends, mode="lines", line={"color": _GREY, "width": 1, "dash": "dot"}, hoverinfo="skip")
    figure.add_scatter(
        x=across, y=upwards, mode="markers", name="channels", customdata=np.arange(len(across), dtype=np.int32),
        marker={
            "color": difference, "cmin": -limit, "cmid": 0, "cmax": limit, "size": 7,
            "colorscale": [[n / (len(_SIGNED) - 1), colour] for n, colour in enumerate(_SIGNED)],
            "colorbar": {"title": {"text": _text(unit)}, "thickness": 10, "outlinewidth": 0, "len": 0.8},
            # The middle of the scale is nearly white: a rim shows it on white, and paleness holds it back on black.
            "line": {"color": _GREY, "width": 0.5}, "opacity": 0.25 + 0.75 * strength,
        },
        hovertemplate=f"channel %{{customdata}}<br>{_literal(names[0])}: %{{x:.3f}}<br>{_literal(names[1])}: %{{y:.3f}}"
                      f"<br>difference: %{{marker.color:+.3f}} {_literal(_text(unit))}<extra></extra>",
    )
    if chosen is not None:
        figure.add_scatter(
            x=across[[chosen]], y=upwards[[chosen]], mode="markers", name="chosen", hoverinfo="skip",
            customdata=np.array([chosen], dtype=np.int32),
            marker={"symbol": "circle-open", "size": 16, "color": _ACCENT, "line": {"width": 2.5}},
        )
    figure.update_xaxes(title=f"pooled value under {names[0]}")
    figure.update_yaxes(title=f"pooled value under {names[1]}")
    return figure


def path(
    values: np.ndarray, probabilities: np.ndarray, names: Sequence[str], parameter_name: str, logarithmic: bool,
    at: float | None = None, low_end: str = "", high_end: str = "", in_percent: bool = True,
) -> go.Figure:
    """The probabilities of some classes along a pooling's parameter.

    Args:
        values: (n,) of the parameter, rising.
        probabilities: (n, k), from 0 to 1 and drawn in percent; or values of any size, without `in_percent`.
        names: k classes.
        parameter_name: "p".
        logarithmic: whether the parameter's axis is.
        at: the parameter as it is now, for a line there.
        low_end, high_end: what the pooling is at both ends, in a few words.

    Raises:
        ParameterError: the arrays and names do not fit each other.
    """
    values, probabilities = np.asarray(values, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    if probabilities.shape != (len(values), len(names)):
        raise ParameterError(f"The probabilities have shape {probabilities.shape}; expected {len(values)} values times "
                             f"{len(names)} classes.")
    parameter = _text(parameter_name)
    figure = _quiet(360)
    _mark(figure, at, 100 if in_percent else float(probabilities.max(initial=0.0)), f"{parameter} now")
    for n, name in enumerate(names):
        _curve(figure, values, probabilities[:, n] * (100 if in_percent else 1), name, _line(n, n // len(_CLASSES)),
               f"%{{y:.{'1f}%' if in_percent else '2f}'} at {_literal(parameter)} = %{{x:.3g}}")
    _widen_covered(figure)
    for place, text in ((0, low_end), (1, high_end)):
        if text:
            figure.add_annotation(x=place, y=1, xref="paper", yref="paper", xanchor=("left", "right")[place],
                                  yanchor="bottom", showarrow=False, text=_text(text, 48))
    figure.update_xaxes(title={"text": parameter, "standoff": 4})
    if logarithmic:
        figure.update_xaxes(type="log", tickvals=_round_numbers(values), tickformat="~g")
    if in_percent:
        figure.update_yaxes(range=[0, 102], ticksuffix="%", dtick=25)
    return figure.update_layout(showlegend=True, legend=_LEGEND_BELOW)


def curves(
    shares: np.ndarray, lines: Mapping[str, np.ndarray], controls: Sequence[str], x_name: str, y_name: str,
    in_percent: bool = True,
) -> go.Figure:
    """Several curves over the same shares; controls are grey and dashed.

    Args:
        shares: (n,), from 0 to 1.
        lines: (n,) each, by name, from 0 to 1; or values of any size, without `in_percent`.
        controls: names of those that are there to compare with.
        x_name, y_name: of the axes.

    Raises:
        ParameterError: a line has not as many numbers as there are shares.
    """
    shares = np.asarray(shares, dtype=np.float64)
    figure, coloured, dashes = _quiet(360), iter(_CLASSES), iter(_DASHES[1:] * len(lines))
    for name, values in lines.items():
        values = _checked(values, shares, "shares")
        is_control = name in controls
        style = {"color": _GREY, "dash": next(dashes), "width": 1.5} if is_control else {
            "color": next(coloured, _ACCENT), "width": 2.5}
        _curve(figure, shares, values, name, style, f"%{{x:.0%}}: %{{y:.{'1%' if in_percent else '2f'}}}")
    _widen_covered(figure)
    figure.update_xaxes(title=_text(x_name), tickformat=".0%", range=[0, 1])
    figure.update_yaxes(title=_text(y_name), rangemode="tozero", **({"tickformat": ".0%"} if in_percent else {}))
    return figure.update_layout(showlegend=True, legend=_LEGEND_BELOW)


def rising(
    scales: np.ndarray, lines: Mapping[str, np.ndarray], at: float | None, x_name: str, y_name: str
) -> go.Figure:
    """Several curves over the same scales, on a logarithmic axis.

    Args:
        scales: (n,) shares above 0, rising; drawn in percent.
        lines: (n,) each, by name; drawn in percent, also below 0. NaN is a gap.
        at: a scale to draw a line at; None draws none.
        x_name, y_name: of the axes.

    Raises:
        ParameterError: a line has not as many numbers as there are scales.
    """
    scales = np.asarray(scales, dtype=np.float64)
    figure = _quiet(300)
    _mark(figure, at, 1, "now")
    for n, (name, values) in enumerate(lines.items()):
        _curve(figure, scales, _checked(values, scales, "scales"), name, _line(n, n), "%{y:.0%} at %{x:.0%}",
               mode="lines+markers", marker={"size": 6})
    figure.update_xaxes(title={"text": _text(x_name, 48), "standoff": 4}, type="log", tickformat=".0%",
                        tickvals=_round_numbers(scales))
    figure.update_yaxes(title=_text(y_name, 48), tickformat=".0%")
    return figure.update_layout(showlegend=True, legend=_LEGEND_BELOW)


def learning(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]], at: float | None, x_name: str,
    y_name: str,
) -> go.Figure:
    """Means with their spread over growing numbers of photos.

    Args:
        lines: by name: (n,) sizes above 0, means and deviations; both are drawn in percent.
        at: a size to draw a line at; None draws none.
        x_name, y_name: of the axes.

    Raises:
        ParameterError: a line's sizes, means and deviations are not as many.
    """
    figure = _quiet(340)
    ticks = sorted({float(size) for sizes, _, _ in lines.values() for size in sizes})
    _mark(figure, at, 1, "now")
    for n, (name, (sizes, means, deviations)) in enumerate(lines.items()):
        if not len(sizes) == len(means) == len(deviations):
            raise ParameterError(f"The line has {len(sizes)} sizes, {len(means)} means and {len(deviations)} "
                                 "deviations; expected as many of each.")
        _curve(figure, list(sizes), list(means), name, _line(n, n), "%{y:.1%} at %{x}", mode="lines+markers",
               marker={"size": 6}, error_y={"type": "data", "array": list(deviations), "thickness": 1, "width": 3})
    lowest = min((mean - spread for _, means, deviations in lines.values()
                  for mean, spread in zip(means, deviations, strict=True)), default=0.0)
    figure.update_xaxes(title={"text": _text(x_name, 48), "standoff": 4}, type="log", tickvals=ticks, tickformat="~g")
    figure.update_yaxes(title=_text(y_name, 48), tickformat=".0%", range=[max(0.0, lowest - 0.03), 1.0])
    return figure.update_layout(showlegend=True, legend=_LEGEND_BELOW)


def _curve(
    figure: go.Figure, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, name: str,
    line: dict[str, Any], hover: str, mode: str = "lines", **style: Any,
) -> None:
    """A named curve; `hover` is a template of what stands below its name."""
    figure.add_scatter(x=x, y=y, mode=mode, name=_text(name), showlegend=True, line=line,
                       hovertemplate=f"{_literal(_text(name))}<br>{hover}<extra></extra>", **style)


def _widen_covered(figure: go.Figure) -> None:
    """Draw a curve wider for each later one that lies on it for much of its way between the ends: so both are seen.

    Dashed ones let others be seen as they are.
    """
    curves = [curve for curve in figure.data if curve.showlegend and curve.line.dash in (None, "solid")]
    values = np.array([curve.y for curve in curves], dtype=np.float64)
    finite = values[np.isfinite(values)]
    near = _NEAR * float(np.ptp(finite)) if finite.size else 0.0
    for n, curve in enumerate(curves):
        with np.errstate(invalid="ignore"):
            close = (np.abs(values[n + 1:] - values[n]) <= near)[:, 1:-1]
        curve.line.width += 2 * int((np.count_nonzero(close, 1) > _MUCH * close.shape[1]).sum())


def _line(colour: int, dash: int) -> dict[str, Any]:
    """The style of a curve, with the colour and the dash of those numbers."""
    return {"color": _CLASSES[colour % len(_CLASSES)], "width": 2.5, "dash": _DASHES[dash % len(_DASHES)]}


def _mark(figure: go.Figure, at: float | None, top: float, name: str) -> None:
    """A dotted vertical line where something is now, from 0 to `top`; none for None."""
    if at is not None:
        # A trace and not a shape: where shapes stand on a logarithmic axis is easily mistaken.
        figure.add_scatter(x=[at, at], y=[0, top], mode="lines", name=name, showlegend=False, hoverinfo="skip",
                           line={"color": _GREY, "width": 1.5, "dash": "dot"})


def _checked(values: np.ndarray, across: np.ndarray, name: str) -> np.ndarray:
    """A curve's numbers as float64. Raises ParameterError where they are not as many as those across."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != across.shape:
        raise ParameterError(f"The curve has shape {values.shape} and the {name} {across.shape}; expected (n,) each.")
    return values


def _round_numbers(values: np.ndarray) -> list[float]:
    """1, 2 and 5 times the powers of ten that lie within the values: few enough to be legible on a phone."""
    low, high = _range(values[np.isfinite(values) & (values > 0)])
    powers = range(math.floor(math.log10(low or 1)), math.ceil(math.log10(high)) + 1)
    numbers = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    return [number for number in numbers if low * (1 - 1e-9) <= number <= high * (1 + 1e-9)]


def _quiet(height: int) -> go.Figure:
    """An empty figure: transparent, thin axes, nothing to drag."""
    figure = go.Figure()
    axis: dict[str, Any] = {
        "fixedrange": True, "zeroline": False, "showline": True, "linewidth": 1, "linecolor": _GREY,
        "gridcolor": _FAINT, "gridwidth": 1, "ticks": "outside", "tickcolor": _GREY, "automargin": True,
    }
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 28, "b": 8}, font={"size": 13}, showlegend=False, dragmode=False,
        paper_bgcolor="rgba(0, 0, 0, 0)", plot_bgcolor="rgba(0, 0, 0, 0)", hovermode="closest", xaxis=axis, yaxis=axis,
    )
    return figure


def _range(finite: np.ndarray) -> list[float]:
    """The smallest and the largest number; 0 and 1 where there is none."""
    return [float(finite.min()), float(finite.max())] if finite.size else [0.0, 1.0]


def _text(name: str, longest: int = _LONGEST_NAME) -> str:
    """A name as text: shortened, on one line, and with nothing in it that Plotly would read as HTML."""
    line = " ".join(str(name).split())
    short = line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
    return html.escape(short, quote=False)


def _literal(text: str) -> str:
    """Text inside a hover template, where %{...} would be filled in: without a percent sign before the brace."""
    return text.replace("%{", "% {")


def _plain(value: float) -> str:
    return f"{value:z.2f}".replace("-", "−") if np.isfinite(value) else "not a number"
