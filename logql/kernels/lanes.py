"""Looking at many bytes at once: which of the next 32 are one of a few, as the bits of one integer.

numba vectorises loops over arrays, but makes no integer of the comparisons' results, which is what tells where the
first hit is without a branch for each byte. So this says it in LLVM's words, which all CPUs' back ends know.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from storage.kernels.cache import inlined

LANES = 32
"""Bytes that are looked at together."""
AHEAD = np.uint64(16)
"""Rows between the one that is worked on and the one that the CPU is told to fetch."""


_extending = importlib.import_module("numba.extending")
_types = importlib.import_module("numba.core.types")
_cgutils = importlib.import_module("numba.core.cgutils")
_ir = importlib.import_module("llvmlite.ir")


def _said_to_llvm(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a function of types gives, as a function of values: the types come first, and with them a context."""
    made: Callable[..., Any] = _extending.intrinsic(function)
    return made


_BYTE = _ir.IntType(8)
_VECTOR = _ir.VectorType(_BYTE, LANES)
_BITS = _ir.IntType(LANES)
_WORD = _ir.IntType(64)


def _loaded(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    """The vector of data[at : at + LANES]; nothing checks that there are so many."""
    data = _cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    place = builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())
    return builder.load(place, align=1)


def _splat(builder: Any, byte: Any) -> Any:
    one = builder.insert_element(_ir.Constant(_VECTOR, _ir.Undefined), byte, _ir.Constant(_ir.IntType(32), 0))
    every = _ir.Constant(_ir.VectorType(_ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, one, every)


def _bits(builder: Any, lanes: Any) -> Any:
    return builder.zext(builder.bitcast(lanes, _BITS), _WORD)


@_said_to_llvm
def equal_lanes(_typing: Any, data: Any, at: Any, wanted: Any) -> Any:
    """uint64: bit i is set where data[at + i] is one of `wanted`, a tuple of uint8.

    data[at : at + LANES] must exist.
    """

    def generated(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _loaded(context, builder, signature.args[0], args[0], args[1])
        hits = None
        for number in range(len(signature.args[2])):
            byte = builder.extract_value(args[2], number)
            same = builder.icmp_unsigned("==", vector, _splat(builder, byte))
            hits = same if hits is None else builder.or_(hits, same)
        return _bits(builder, hits)

    wanted = _types.UniTuple(_types.uint8, len(wanted))
    return _types.uint64(data, at, wanted), generated


@_said_to_llvm
def high_lanes(_typing: Any, data: Any, at: Any) -> Any:
    """uint64: bit i is set where data[at + i] is no ASCII; data[at : at + LANES] must exist."""

    def generated(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _loaded(context, builder, signature.args[0], args[0], args[1])
        return _bits(builder, builder.icmp_signed("<", vector, _ir.Constant(_VECTOR, [0] * LANES)))

    return _types.uint64(data, at), generated


@_said_to_llvm
def word_at(_typing: Any, data: Any, at: Any) -> Any:
    """uint64 of data[at : at + 8], lowest byte first, which must exist; `at` is a uint64, a multiple of nothing."""

    def generated(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = _cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0]).data
        place = builder.bitcast(builder.gep(array, [args[1]]), _WORD.as_pointer())
        return builder.load(place, align=1)

    return _types.uint64(data, at), generated


@_said_to_llvm
def soon(_typing: Any, data: Any, at: Any) -> Any:
    """Has the CPU fetch data[at], a uint64, while it does something else; a place that is not there does no harm."""

    def generated(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = _cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0]).data
        place = builder.gep(array, [args[1]])
        number = _ir.IntType(32)
        wanted = _ir.FunctionType(_ir.VoidType(), [place.type, number, number, number])
        fetch = _cgutils.get_or_insert_function(builder.module, wanted, "llvm.prefetch.p0i8")
        builder.call(fetch, [place, number(0), number(3), number(1)])  # to read; into the nearest cache; of data
        return context.get_dummy_value()

    return _types.void(data, at), generated


@_said_to_llvm
def lowest(_typing: Any, bits: Any) -> Any:
    """int64: the number of the lowest bit that is set in a uint64 that is not 0."""

    def generated(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], _ir.Constant(_ir.IntType(1), 1))

    return _types.int64(bits), generated


@inlined
def find_byte(data: Any, at: Any, end: Any, wanted: Any) -> Any:
    """Place (int64) of the first byte of data[at:end] that is one of `wanted`, a tuple of uint8; `end` if none is."""
    last = np.int64(len(data) - LANES)
    while at < end:
        if at <= last:
            bits = equal_lanes(data, at, wanted)
            if bits != 0:
                return min(at + lowest(bits), end)
            at += LANES
        else:
            byte = data[np.uint64(at)]
            for one in wanted:
                if byte == one:
                    return at
            at += 1
    return end
