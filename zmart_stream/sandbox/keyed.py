"""Keyed noise: random-looking numbers that are functions of a key and an index alone.

A counter is mixed with the SplitMix64 finaliser (Steele, Lea, Flood 2014), so that any index can be asked for
without walking through the ones before it, in any order, on any machine, with the same answer.
`uniforms`, `normals` and `smooth_at` use only correctly rounded operations, so that array length does not matter.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
HashArray = npt.NDArray[np.uint64]

_MASK = (1 << 64) - 1
_STEP, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_STEP_U, _MIX_1_U, _MIX_2_U = np.uint64(_STEP), np.uint64(_MIX_1), np.uint64(_MIX_2)
_S11, _S16, _S27, _S30, _S31, _S32 = (np.uint64(n) for n in (11, 16, 27, 30, 31, 32))
_PAIRS, _LOW = np.uint64(0x0000FFFF0000FFFF), np.uint64(0xFFFFFFFF)
_UNIT, _HALF_UNIT = 2.0**-53, 2.0**-32
_NORMAL_SCALE = 1.0 / (65536.0 * 0.57735026918962576)  # four uniforms of variance 1/12 each
_NORMAL_CENTRE = 2 * 65535


def derive(*parts: int | str) -> int:
    """A 64-bit key of the given parts; equal parts give equal keys on every machine."""
    state = blake2b(digest_size=8)
    for part in parts:
        state.update(f"{type(part).__name__}:{part};".encode())
    return int.from_bytes(state.digest(), "big")


@lru_cache(maxsize=65536)
def stream_keys(key: int, count: int) -> HashArray:
    """`count` independent stream keys of one key, shape (count,)."""
    return hash64(key, np.arange(count, dtype=np.int64))


def hash64(key: int | HashArray, index: IntArray) -> HashArray:
    """64 mixed bits for every index; `key` is one key or an array that broadcasts against `index`."""
    x = index.astype(np.uint64) * _STEP_U
    x = x + (np.uint64(key & _MASK) if isinstance(key, int) else key)
    x ^= x >> _S30
    x *= _MIX_1_U
    x ^= x >> _S27
    x *= _MIX_2_U
    x ^= x >> _S31
    return x


def uniforms(key: int | HashArray, index: IntArray) -> FloatArray:
    """Uniform numbers in [0, 1)."""
    return np.asarray((hash64(key, index) >> _S11) * _UNIT, dtype=np.float64)


def uniform_pairs(key: int | HashArray, index: IntArray) -> tuple[FloatArray, FloatArray]:
    """Two independent uniform numbers in [0, 1) for every index, in steps of 2^-32, for the price of one."""
    bits = hash64(key, index)
    return np.asarray((bits >> _S32) * _HALF_UNIT, dtype=np.float64), np.asarray((bits & _LOW) * _HALF_UNIT)


def normals(key: int | HashArray, index: IntArray) -> FloatArray:
    """Near-normal numbers of mean 0 and variance 1: the sum of four 16-bit uniforms (bounded by ±3.46)."""
    bits = hash64(key, index)
    pairs = (bits & _PAIRS) + ((bits >> _S16) & _PAIRS)
    total = ((pairs & _LOW) + (pairs >> _S32)).astype(np.float64)
    return (total - _NORMAL_CENTRE) * _NORMAL_SCALE


def bits_at(key: int, index: int) -> int:
    """`hash64` of one index as a plain integer."""
    x = (index * _STEP + key) & _MASK
    x = ((x ^ (x >> 30)) * _MIX_1) & _MASK
    x = ((x ^ (x >> 27)) * _MIX_2) & _MASK
    return x ^ (x >> 31)


def uniform_at(key: int, index: int) -> float:
    """`uniforms` of one index."""
    return (bits_at(key, index) >> 11) * _UNIT


def normal_at(key: int, index: int) -> float:
    """`normals` of one index."""
    x = bits_at(key, index)
    total = (x & 0xFFFF) + (x >> 16 & 0xFFFF) + (x >> 32 & 0xFFFF) + (x >> 48)
    return (total - _NORMAL_CENTRE) * _NORMAL_SCALE


def smooth(key: int, time: IntArray, period: int) -> FloatArray:
    """Smooth noise of mean 0: normals at multiples of `period`, joined by the smoothstep; same unit as `time`."""
    node = time // period
    share = (time - node * period) / period
    share = share * share * (3.0 - 2.0 * share)
    left, right = normals(key, node), normals(key, node + 1)
    return left + (right - left) * share


def smooth_at(key: int, time: int, period: int) -> float:
    """`smooth` at one instant."""
    node = time // period
    share = (time - node * period) / period
    share = share * share * (3.0 - 2.0 * share)
    left, right = normal_at(key, node), normal_at(key, node + 1)
    return left + (right - left) * share
