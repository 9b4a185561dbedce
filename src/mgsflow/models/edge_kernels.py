"""Triton kernels of the VAE's first and last layer: `models.edges` calls and explains them.

A tile is BM places of one stamp. The product over the four blocks that a place sees is one
product of matrices, BM x (4 x channels) times (4 x channels) x channels, of the arrays' type and
summed in float32. SIDE blocks lie along a stamp, SIDE - 1 places of features; C4 channels of a
block hold pixels, CP of them are computed, F are those of the features. Each sum over tiles goes
through a row of its own, not through atomics, so that a step repeats bit for bit.
"""
# ruff: noqa: ANN001, ANN201, ANN202, N803, N806 (arguments of a kernel are what it is called with)

import triton
import triton.language as tl


@triton.jit
def _places(tile, BM: tl.constexpr, WIDTH: tl.constexpr):
    """Numbers, rows and columns of a tile's places, and whether they exist."""
    m = tile * BM + tl.arange(0, BM)
    return m, m // WIDTH, m % WIDTH, m < WIDTH * WIDTH


@triton.jit
def _pixels(
    x, n, row, column, ok, scale, KIND: tl.constexpr,
    SIDE: tl.constexpr, C4: tl.constexpr, CP: tl.constexpr,
):  # fmt: skip
    """The pixels (BM, 4 CP) of the four blocks from (row, column) on, as KIND."""
    k = tl.arange(0, 4 * CP)
    tap, c = k // CP, k % CP
    start = ((n * SIDE + row) * SIDE + column) * C4
    offset = ((tap // 2) * SIDE + tap % 2) * C4 + c
    mask = ok[:, None] & (c < C4)[None, :]
    values = tl.load(x + start[:, None] + offset[None, :], mask=mask, other=0)
    return (values.to(tl.float32) * scale).to(KIND)


@triton.jit
def encode_kernel(
    x, w, b, out, scale,
    SIDE: tl.constexpr, C4: tl.constexpr, CP: tl.constexpr, F: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """out = relu(convolution of x): (n, SIDE - 1, SIDE - 1, F); w (4 CP, F), b (F,)."""
    n, tile = tl.program_id(0), tl.program_id(1)
    WIDTH: tl.constexpr = SIDE - 1
    m, row, column, ok = _places(tile, BM, WIDTH)
    f = tl.arange(0, F)
    v = _pixels(x, n, row, column, ok, scale, out.dtype.element_ty, SIDE, C4, CP)
    weight = tl.load(w + tl.arange(0, 4 * CP)[:, None] * F + f[None, :])
    features = tl.dot(v, weight) + tl.load(b + f)[None, :]
    at = (n * WIDTH * WIDTH + m)[:, None] * F + f[None, :]
    tl.store(out + at, tl.maximum(features, 0.0).to(out.dtype.element_ty), mask=ok[:, None])


@triton.jit
def encode_grad_kernel(
    x, out, g, dw, db, scale, TILES: tl.constexpr,
    SIDE: tl.constexpr, C4: tl.constexpr, CP: tl.constexpr, F: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """Each program's part of the gradients of weights and bias: rows of dw and db."""
    n, part = tl.program_id(0), tl.program_id(1)
    WIDTH: tl.constexpr = SIDE - 1
    f = tl.arange(0, F)
    weights = tl.zeros((4 * CP, F), tl.float32)
    bias = tl.zeros((F,), tl.float32)
    for i in range(TILES):
        m, row, column, ok = _places(part * TILES + i, BM, WIDTH)
        at = (n * WIDTH * WIDTH + m)[:, None] * F + f[None, :]
        active = tl.load(out + at, mask=ok[:, None], other=0.0) > 0
        gradient = tl.where(active, tl.load(g + at, mask=ok[:, None], other=0.0), 0.0)
        gradient = gradient.to(out.dtype.element_ty)
        v = _pixels(x, n, row, column, ok, scale, out.dtype.element_ty, SIDE, C4, CP)
        weights += tl.dot(tl.trans(v), gradient)
        bias += tl.sum(gradient.to(tl.float32), 0)
    number = n * tl.num_programs(1) + part
    k = tl.arange(0, 4 * CP)
    tl.store(dw + number * 4 * CP * F + k[:, None] * F + f[None, :], weights)
    tl.store(db + number * F + f, bias)


@triton.jit
def _features(z, bz, n, row, column, ok, SIDE: tl.constexpr, F: tl.constexpr):
    """relu(z + bz) of the four places that block (row, column) sees: (BM, 4 F), of z's type."""
    WIDTH: tl.constexpr = SIDE - 1
    k = tl.arange(0, 4 * F)
    tap, f = k // F, k % F
    r = row[:, None] - 1 + (tap // 2)[None, :]
    c = column[:, None] - 1 + (tap % 2)[None, :]
    inside = ok[:, None] & (r >= 0) & (r < WIDTH) & (c >= 0) & (c < WIDTH)
    at = ((n * WIDTH + r) * WIDTH + c) * F + f[None, :]
    values = tl.load(z + at, mask=inside, other=0.0).to(tl.float32) + tl.load(bz + f)[None, :]
    return tl.where(inside, tl.maximum(values, 0.0), 0.0).to(z.dtype.element_ty)


@triton.jit
def decode_kernel(
    z, bz, w, b, x, diff, errors, scale,
    SIDE: tl.constexpr, C4: tl.constexpr, CP: tl.constexpr, F: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """Reconstruction less stamp, 0 outside it: diff (n, SIDE, SIDE, CP); its squares' sums."""
    n, tile = tl.program_id(0), tl.program_id(1)
    m, row, column, ok = _places(tile, BM, SIDE)
    c = tl.arange(0, CP)
    v = _features(z, bz, n, row, column, ok, SIDE, F)
    weight = tl.load(w + tl.arange(0, 4 * F)[:, None] * CP + c[None, :])
    pixels = tl.dot(v, weight) + tl.load(b + c)[None, :]
    place = n * SIDE * SIDE + m
    held = ok[:, None] & (c < C4)[None, :]
    truth = tl.load(x + place[:, None] * C4 + c[None, :], mask=held, other=0).to(tl.float32) * scale
    # pixel (y, x) of block (row, column) is row 2 row - 1 + y of the stamp
    y = 2 * row[:, None] - 1 + ((c // 2) % 2)[None, :]
    across = 2 * column[:, None] - 1 + (c % 2)[None, :]
    size: tl.constexpr = 2 * (SIDE - 1)
    inside = held & (y >= 0) & (y < size) & (across >= 0) & (across < size)
    difference = tl.where(inside, pixels - truth, 0.0)
    tl.store(errors + n * tl.num_programs(1) + tile, tl.sum(difference * difference))
    at = place[:, None] * CP + c[None, :]
    tl.store(diff + at, difference.to(diff.dtype.element_ty), mask=ok[:, None])


@triton.jit
def decode_inputs_kernel(
    z, bz, w, diff, g, dz, dbz,
    SIDE: tl.constexpr, CP: tl.constexpr, F: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """Gradient of z, (n, SIDE - 1, SIDE - 1, F), and each tile's part of bz's; w (4 CP, F)."""
    n, tile = tl.program_id(0), tl.program_id(1)
    WIDTH: tl.constexpr = SIDE - 1
    m, row, column, ok = _places(tile, BM, WIDTH)
    k, f = tl.arange(0, 4 * CP), tl.arange(0, F)
    tap, c = k // CP, k % CP
    # tap (t, u) of block (row + 1 - t, column + 1 - u) saw this place
    start = (n * SIDE + row + 1) * SIDE + column + 1
    offset = -(tap // 2) * SIDE - tap % 2
    at = (start[:, None] + offset[None, :]) * CP + c[None, :]
    v = tl.load(diff + at, mask=ok[:, None], other=0.0)
    weight = tl.load(w + k[:, None] * F + f[None, :])
    gradient = tl.dot(v, weight) * (2 * tl.load(g + n))
    at = (n * WIDTH * WIDTH + m)[:, None] * F + f[None, :]
    before = tl.load(z + at, mask=ok[:, None], other=0.0).to(tl.float32) + tl.load(bz + f)[None, :]
    gradient = tl.where(ok[:, None] & (before > 0), gradient, 0.0)
    tl.store(dz + at, gradient.to(dz.dtype.element_ty), mask=ok[:, None])
    tl.store(dbz + (n * tl.num_programs(1) + tile) * F + f, tl.sum(gradient, 0))


@triton.jit
def decode_weights_kernel(
    z, bz, diff, g, dw, db, TILES: tl.constexpr,
    SIDE: tl.constexpr, CP: tl.constexpr, F: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """Each program's part of the gradients of weights, (4 F, CP), and bias: rows of dw and db."""
    n, part = tl.program_id(0), tl.program_id(1)
    c = tl.arange(0, CP)
    weights = tl.zeros((4 * F, CP), tl.float32)
    bias = tl.zeros((CP,), tl.float32)
    for i in range(TILES):
        m, row, column, ok = _places(part * TILES + i, BM, SIDE)
        at = (n * SIDE * SIDE + m)[:, None] * CP + c[None, :]
        difference = tl.load(diff + at, mask=ok[:, None], other=0.0)
        v = _features(z, bz, n, row, column, ok, SIDE, F)
        weights += tl.dot(tl.trans(v), difference)
        bias += tl.sum(difference.to(tl.float32), 0)
    number = n * tl.num_programs(1) + part
    k = tl.arange(0, 4 * F)
    factor = 2 * tl.load(g + n)
    tl.store(dw + number * 4 * F * CP + k[:, None] * CP + c[None, :], weights * factor)
    tl.store(db + number * CP + c, bias * factor)
