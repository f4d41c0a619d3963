"""Everything derived a second time, from the definitions: plain loops over Python floats (float64), slow on purpose.

Nothing of the package is imported here. Feature maps are nested lists `maps[k][i][j]`; so are all results.
"""

from __future__ import annotations

import math

Map = list[list[float]]
Maps = list[Map]
Vector = list[float]


def _values(one: Map) -> Vector:
    return [value for row in one for value in row]


def _shaped(values: Vector, like: Map) -> Map:
    width = len(like[0])
    return [values[start : start + width] for start in range(0, len(values), width)]


def _softmax(numbers: Vector) -> Vector:
    peak = max(numbers)
    powers = [math.exp(number - peak) for number in numbers]
    return [power / sum(powers) for power in powers]


# Poolings: the value of one channel's map, and its weights.


def gap_value(one: Map) -> float:
    total = 0.0
    for value in _values(one):
        total += value
    return total / len(_values(one))


def gap_weights(one: Map) -> Map:
    return [[1 / (len(one) * len(one[0])) for _ in row] for row in one]


def gmp_value(one: Map) -> float:
    best = -math.inf
    for value in _values(one):
        best = max(best, value)
    return best


def gmp_weights(one: Map) -> Map:
    best = gmp_value(one)
    winners = sum(1 for value in _values(one) if value == best)
    return [[1 / winners if value == best else 0.0 for value in row] for row in one]


def gem_value(one: Map, p: float) -> float:
    """The definition, after division by the largest value, so that large powers stay within float64."""
    values = [max(value, 0.0) for value in _values(one)]
    peak = max(values)
    if peak == 0:
        return 0.0
    return peak * (sum((value / peak) ** p for value in values) / len(values)) ** (1 / p)


def gem_weights(one: Map, p: float) -> Map:
    """The partial derivatives of the p-mean, by which Euler's theorem gives it back; where F < 0 it has none."""
    y, positions = gem_value(one, p), len(_values(one))
    if y == 0:
        return [[1 / positions if value == 0 else 0.0 for value in row] for row in one]
    return [[0.0 if value < 0 else (value / y) ** (p - 1) / positions for value in row] for row in one]


def lse_value(one: Map, r: float) -> float:
    values = _values(one)
    peak = max(values)
    return peak + math.log(sum(math.exp(r * (value - peak)) for value in values) / len(values)) / r


def lse_weights(one: Map, r: float, steps_per_unit: int = 100) -> Map:
    """The softmax along the ray t * F, integrated over t from 0 to 1 by the trapezoid rule in very fine steps."""
    values = _values(one)
    steps = max(500, math.ceil(steps_per_unit * r * (max(values) - min(values))))
    totals = [0.0] * len(values)
    for step in range(steps + 1):
        share = (0.5 if step in (0, steps) else 1.0) / steps
        for n, weight in enumerate(_softmax([step / steps * r * value for value in values])):
            totals[n] += share * weight
    return _shaped(totals, one)


def topk_count(one: Map, share: float) -> int:
    """The whole number nearest to that share of the positions (halves go up), at least one."""
    exact = share * len(one) * len(one[0])
    whole = int(exact)
    return max(1, whole + 1 if exact - whole >= 0.5 else whole)


def topk_value(one: Map, share: float) -> float:
    ranked = sorted(_values(one), reverse=True)
    count = topk_count(one, share)
    return sum(ranked[:count]) / count


def topk_weights(one: Map, share: float) -> Map:
    """1 / k for each position above the k-th; those level with it share what is left equally."""
    count = topk_count(one, share)
    kth = sorted(_values(one), reverse=True)[count - 1]
    above = sum(1 for value in _values(one) if value > kth)
    level = sum(1 for value in _values(one) if value == kth)
    shared = (count - above) / level
    return [[(1.0 if value > kth else shared if value == kth else 0.0) / count for value in row] for row in one]


def mixed_value(one: Map, a: float) -> float:
    return a * gmp_value(one) + (1 - a) * gap_value(one)


def mixed_weights(one: Map, a: float) -> Map:
    pairs = zip(gmp_weights(one), gap_weights(one), strict=True)
    return [[a * m + (1 - a) * g for m, g in zip(*rows, strict=True)] for rows in pairs]


def softpool_weights(one: Map) -> Map:
    return _shaped(_softmax(_values(one)), one)


def softpool_value(one: Map) -> float:
    return sum(weight * value for weight, value in zip(_values(softpool_weights(one)), _values(one), strict=True))


def attention_weights(maps: Maps, t: float) -> Map:
    """One map for all channels: softmax over positions of cos(q, F_ij) / t, with q the mean vector."""
    query = [gap_value(one) for one in maps]
    length = math.sqrt(sum(part * part for part in query))
    cosines = []
    for i in range(len(maps[0])):
        for j in range(len(maps[0][0])):
            vector = [one[i][j] for one in maps]
            lengths = length * math.sqrt(sum(part * part for part in vector))
            product = sum(q * f for q, f in zip(query, vector, strict=True))
            cosines.append(product / lengths if lengths else 0.0)
    return _shaped(_softmax([cosine / t for cosine in cosines]), maps[0])


_BY_CHANNEL = {
    "gap": (gap_value, gap_weights),
    "gmp": (gmp_value, gmp_weights),
    "gem": (gem_value, gem_weights),
    "lse": (lse_value, lse_weights),
    "topk": (topk_value, topk_weights),
    "mixed": (mixed_value, mixed_weights),
    "softpool": (softpool_value, softpool_weights),
}


def pooled(key: str, maps: Maps, *parameter: float) -> Vector:
    if key == "attention":
        weights = _values(attention_weights(maps, *parameter))
        return [sum(w * f for w, f in zip(weights, _values(one), strict=True)) for one in maps]
    return [_BY_CHANNEL[key][0](one, *parameter) for one in maps]


def pooling_weights(key: str, maps: Maps, *parameter: float) -> Maps:
    if key == "attention":
        return [attention_weights(maps, *parameter) for _ in maps]
    return [_BY_CHANNEL[key][1](one, *parameter) for one in maps]


# A Linear head, evidence and votes.


def linear(matrix: list[Vector], bias: Vector, vector: Vector) -> Vector:
    return [
        shift + sum(a * y for a, y in zip(row, vector, strict=True)) for row, shift in zip(matrix, bias, strict=True)
    ]


def evidence(maps: Maps, weights: Maps, vector: Vector, row: Vector) -> Map:
    """E_ij = sum_k r_k (w F)_kij / y_k with r_k = A_ck y_k, and 0 where y_k = 0."""
    cells = [[0.0 for _ in line] for line in maps[0]]
    for k in range(len(maps)):
        contribution = row[k] * vector[k]
        for i in range(len(cells)):
            for j in range(len(cells[0])):
                if vector[k] != 0:
                    cells[i][j] += contribution * (weights[k][i][j] * maps[k][i][j]) / vector[k]
    return cells


def votes(maps: Maps, matrix: list[Vector], bias: Vector) -> Maps:
    """votes[c][i][j]: softmax over classes of the head's answer to the vector at (i, j)."""
    answer = [[[0.0 for _ in line] for line in maps[0]] for _ in matrix]
    for i in range(len(maps[0])):
        for j in range(len(maps[0][0])):
            for c, probability in enumerate(_softmax(linear(matrix, bias, [one[i][j] for one in maps]))):
                answer[c][i][j] = probability
    return answer


def hardswish_head_slopes(
    first: list[Vector], first_bias: Vector, second_row: Vector, vector: Vector, steps: int = 20_000
) -> Vector:
    """The gradient of second @ hardswish(first @ y + bias) averaged along t * vector, by the midpoint rule."""
    through = [sum(a * y for a, y in zip(row, vector, strict=True)) for row in first]
    slopes = [0.0] * len(vector)
    for h, row in enumerate(first):
        mean = 0.0
        for step in range(steps):
            z = first_bias[h] + (step + 0.5) / steps * through[h]
            mean += (0.0 if z < -3 else 1.0 if z > 3 else (2 * z + 3) / 6) / steps
        for k, a in enumerate(row):
            slopes[k] += second_row[h] * mean * a
    return slopes


# CAM methods under GAP and a Linear, where the gradient is known: g_kij = A_ck / HW.


def _combined(weights: Vector, maps: Maps) -> Map:
    return [
        [sum(w * one[i][j] for w, one in zip(weights, maps, strict=True)) for j in range(len(maps[0][0]))]
        for i in range(len(maps[0]))
    ]


def _gradients(maps: Maps, row: Vector) -> Maps:
    positions = len(_values(maps[0]))
    return [[[a / positions for _ in line] for line in one] for a, one in zip(row, maps, strict=True)]


def cam(maps: Maps, row: Vector) -> Map:
    return _combined(row, maps)


def grad_cam(maps: Maps, row: Vector) -> Map:
    return _combined([gap_value(gradient) for gradient in _gradients(maps, row)], maps)


def grad_cam_plus_plus(maps: Maps, row: Vector) -> Map:
    weights = []
    for one, gradient in zip(maps, _gradients(maps, row), strict=True):
        total, weight = sum(_values(one)), 0.0
        for g in _values(gradient):
            below = 2 * g**2 + g**3 * total
            weight += (g**2 / below if below else 0.0) * max(g, 0.0)
        weights.append(weight)
    return _combined(weights, maps)


def xgrad_cam(maps: Maps, row: Vector) -> Map:
    weights = []
    for one, gradient in zip(maps, _gradients(maps, row), strict=True):
        total = sum(_values(one))
        above = sum(g * f for g, f in zip(_values(gradient), _values(one), strict=True))
        weights.append(above / total if total else 0.0)
    return _combined(weights, maps)


def hires_cam(maps: Maps, row: Vector) -> Map:
    gradients = _gradients(maps, row)
    return [
        [sum(g[i][j] * f[i][j] for g, f in zip(gradients, maps, strict=True)) for j in range(len(maps[0][0]))]
        for i in range(len(maps[0]))
    ]


def layer_cam(maps: Maps, row: Vector) -> Map:
    gradients = _gradients(maps, row)
    return [
        [
            sum(max(g[i][j], 0.0) * f[i][j] for g, f in zip(gradients, maps, strict=True))
            for j in range(len(maps[0][0]))
        ]
        for i in range(len(maps[0]))
    ]


def ablation_cam(maps: Maps, row: Vector) -> Map:
    """Each channel's map is really set to zero, and the logit asked again."""
    whole = sum(a * gap_value(one) for a, one in zip(row, maps, strict=True))
    drops = []
    for k in range(len(maps)):
        without = [one if n != k else [[0.0 for _ in line] for line in one] for n, one in enumerate(maps)]
        drops.append(whole - sum(a * gap_value(one) for a, one in zip(row, without, strict=True)))
    return _combined(drops, maps)


def eigen_cam(maps: Maps, rounds: int = 2000) -> Map:
    """F^T u with u the first left singular vector (over channels), by power iteration; positive where active."""
    flat = [_values(one) for one in maps]
    direction = [1.0 + 0.1 * k for k in range(len(flat))]
    for _ in range(rounds):
        projected = [sum(d * one[n] for d, one in zip(direction, flat, strict=True)) for n in range(len(flat[0]))]
        direction = [sum(p * value for p, value in zip(projected, one, strict=True)) for one in flat]
        length = math.sqrt(sum(d * d for d in direction))
        direction = [d / length for d in direction]
    projected = [sum(d * one[n] for d, one in zip(direction, flat, strict=True)) for n in range(len(flat[0]))]
    agreement = sum(p * sum(one[n] for one in flat) for n, p in enumerate(projected))
    return _shaped([p if agreement >= 0 else -p for p in projected], maps[0])


def finer_cam(maps: Maps, matrix: list[Vector], index: int, rivals: list[int], gamma: float) -> Map:
    """Grad-CAM of the class's logit less gamma times the mean of the rivals' logits."""
    row = [
        matrix[index][k] - gamma * sum(matrix[rival][k] for rival in rivals) / len(rivals) for k in range(len(maps))
    ]
    return grad_cam(maps, row)


def closest(logits: Vector, index: int, count: int) -> list[int]:
    """The other classes, by how near their logit is."""
    others = [n for n in range(len(logits)) if n != index]
    return sorted(others, key=lambda n: abs(logits[n] - logits[index]))[:count]


def score_cam_weights(logits: Vector) -> Vector:
    """Algorithm 1's last step: softmax over channels of the logit that the photo gets seen through each."""
    return _softmax(logits)


def bilinear(one: Map, rows: int, columns: int) -> Map:
    """Upsampling with pixel centres aligned (align_corners=False), edges held."""
    def place(n: int, big: int, small: int) -> tuple[int, int, float]:
        at = max((n + 0.5) * small / big - 0.5, 0.0)
        low = min(int(at), small - 1)
        return low, min(low + 1, small - 1), at - low

    answer = []
    for r in range(rows):
        top, bottom, down = place(r, rows, len(one))
        line = []
        for c in range(columns):
            left, right, along = place(c, columns, len(one[0]))
            upper = one[top][left] * (1 - along) + one[top][right] * along
            lower = one[bottom][left] * (1 - along) + one[bottom][right] * along
            line.append(upper * (1 - down) + lower * down)
        answer.append(line)
    return answer


def ranged(one: Map) -> Map:
    """Scaled to 0..1; a flat map becomes 0."""
    low, high = min(_values(one)), max(_values(one))
    return [[(value - low) / (high - low) if high > low else 0.0 for value in row] for row in one]
