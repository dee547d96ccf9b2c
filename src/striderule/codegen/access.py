"""Lanes and memory: masks, and what is read and written under them."""

from __future__ import annotations

from striderule.codegen import ir
from striderule.codegen.arithmetic import Arithmetic
from striderule.codegen.values import I1, I64, INT32, INT64, Element, Mask, Pointer, Size, Vector


class Access(Arithmetic):
    """The part of `tile.Routine` that knows lanes and memory."""

    # Lanes ------------------------------------------------------------------------------------------------------------

    def numbered(self, element: Element = INT64, lanes: int | None = None) -> Vector:
        """Return the vector 0, 1, 2 ... of integers."""
        vector = ir.vector(element.type, lanes or self.lanes)
        return Vector(self, ir.constant(vector, range(vector.count)), element)

    def spread(self, size: Size, element: Element = INT64, lanes: int | None = None) -> Vector:
        """Return a size in every lane, as an integer or a float."""
        build = self.build
        if element.kind == "f":
            number = build.sitofp(size.value, element.type)
        else:
            number = size.value if element.itemsize == 8 else build.trunc(size.value, element.type)
        return Vector(self, self._spread(number, ir.vector(element.type, lanes or self.lanes)), element)

    def first_lanes(self, count: Size | int, lanes: int | None = None) -> Mask:
        """Return the mask of the first `count` lanes: all of them for a large count, none for zero and less."""
        size = count if isinstance(count, Size) else Size(self, ir.constant(I64, count))
        # Lanes are compared as 32-bit numbers, which takes half as many instructions as with those of a size.
        few = size.larger(0).smaller(lanes or self.lanes)
        here = self.numbered(INT32, lanes).less(self.spread(few, INT32, lanes))
        return Mask(self, here.value, count) if isinstance(count, int) else here

    def lanes_from(self, start: Size, lanes: int | None = None) -> Mask:
        """Return the mask of all lanes but the first `start`."""
        few = start.larger(0).smaller(lanes or self.lanes)
        return self.numbered(INT32, lanes).greater_equal(self.spread(few, INT32, lanes))

    def between(self, first: Size, last: Size) -> Size:
        """Return the number of which the bits first <= i < last are set: of 0 to 62, with first <= last."""
        one = ir.constant(I64, 1)
        low, high = (self.build.shl(one, end.larger(0).smaller(63).value) for end in (first, last))
        return Size(self, self.build.sub(high, low))

    def lanes_of(self, bits: Size, first: int = 0, lanes: int | None = None) -> Mask:
        """Return the mask of the lanes l for which bit first + l of a number is set."""
        count = lanes or self.lanes
        here = self.build.trunc(self.build.lshr(bits.value, ir.constant(I64, first)), ir.integer(count))
        return Mask(self, self.build.bitcast(here, ir.vector(I1, count)))

    def joined(self, a: Mask, b: Mask) -> Mask:
        """Return the lanes of a, and behind them those of b."""
        return Mask(self, self.build.shuffle_vector(a.value, b.value, range(2 * a.value.type.count)))

    def both(self, a: Mask, b: Mask) -> Mask:
        """Return the lanes that both masks have."""
        return a & b

    # Memory -----------------------------------------------------------------------------------------------------------

    def load(self, where: Pointer, mask: Mask | None = None, lanes: int | None = None) -> Vector:
        """Return the lanes at `where`, at any alignment; with a mask the others are zero, and are not read."""
        kind = where.element or INT64
        vector = ir.vector(kind.type, lanes or self.lanes)
        place = self.build.bitcast(where.value, vector.as_pointer())
        if mask is None:
            return Vector(self, self.build.load(place, align=kind.itemsize), kind)
        zeros = ir.constant(vector, 0)
        arguments = [place, ir.constant(INT32.type, kind.itemsize), mask.value, zeros]
        name = f"llvm.masked.load.v{vector.count}{kind.code}.p0"
        return Vector(self, self.call(name, vector, arguments), kind)

    def store(self, vector: Vector, where: Pointer, mask: Mask | None = None) -> None:
        """Write the lanes to `where`, at any alignment; with a mask the others are not touched."""
        kind = vector.element
        place = self.build.bitcast(where.value, vector.value.type.as_pointer())
        if mask is None:
            self.build.store(vector.value, place, align=kind.itemsize)
            return
        if mask.known is not None and kind.itemsize < 4:
            # LLVM 22 writes 32 bits for a lane of 16 where it knows the mask and that it has this lane alone.
            for lane in range(min(mask.known, vector.lanes)):
                self.build.store(self.build.extract_element(vector.value, lane), (where + lane).value)
            return
        arguments = [vector.value, place, ir.constant(INT32.type, kind.itemsize), mask.value]
        self.call(f"llvm.masked.store.v{vector.lanes}{kind.code}.p0", ir.VOID, arguments)

    def stream(self, vector: Vector, where: Pointer) -> None:
        """Write the lanes to `where`, which is aligned to whole vectors, past the caches; see `settle`."""
        place = self.build.bitcast(where.value, vector.value.type.as_pointer())
        self.build.store(vector.value, place, align=vector.lanes * vector.element.itemsize, stream=True)

    def settle(self) -> None:
        """Let all that was streamed be seen before what is written after it; elsewhere it is like any other store."""
        if self.target.triple.startswith("x86_64"):
            self.call("llvm.x86.sse.sfence", ir.VOID, [])

    def gather(self, where: Pointer, step: Size, count: Size, lanes: int | None = None) -> Vector:
        """Return `count` numbers (at most all lanes) that stand `step` elements apart; the other lanes are zero."""
        kind = where.element or INT64
        vector = ir.vector(kind.type, lanes or self.lanes)
        room = self._room(vector)
        self.build.store(ir.constant(vector, 0), room)
        first = Pointer(self, kind, self.build.bitcast(room, kind.type.as_pointer()))
        with self.loop(count.smaller(vector.count)) as i:
            self.build.store(self.build.load((where + i * step).value), (first + i).value)
        return Vector(self, self.build.load(room), kind)

    def scatter(self, vector: Vector, where: Pointer, step: Size, count: Size) -> None:
        """Write the first `count` lanes to places `step` elements apart."""
        room = self._room(vector.value.type)
        self.build.store(vector.value, room)
        first = Pointer(self, vector.element, self.build.bitcast(room, vector.element.type.as_pointer()))
        with self.loop(count.smaller(vector.lanes)) as i:
            self.build.store(self.build.load((first + i).value), (where + i * step).value)

    def even(self, low: Vector, high: Vector) -> Vector:
        """Return every second number of two vectors, the other of which begins with the last lane of the one."""
        # The odd lanes of the other go on where the even lanes of the one end.
        return self.shuffle(low, high, [*range(0, low.lanes, 2), *range(low.lanes + 1, 2 * low.lanes, 2)])

    def broadcast(self, where: Pointer, lanes: int | None = None) -> Vector:
        """Return the one number that stands at `where`, in every lane."""
        kind = where.element or INT64
        number = self.build.load(where.value)
        return Vector(self, self._spread(number, ir.vector(kind.type, lanes or self.lanes)), kind)

    def store_first(self, vector: Vector, where: Pointer) -> None:
        """Write the first lane alone."""
        self.build.store(self.build.extract_element(vector.value, 0), where.value)

    def integer(self, where: Pointer) -> Size:
        """Return the one integer that stands at `where`, as a size."""
        kind = where.element or INT64
        number = self.build.load(where.value)
        if kind.itemsize < 8:
            number = (self.build.sext if kind.kind == "i" else self.build.zext)(number, I64)
        return Size(self, number)

    def entry(self, table: Pointer, index: Size | int) -> Size:
        """Return an entry of a table of integers."""
        return Size(self, self.build.load((table + index).value))

    def enter(self, size: Size, table: Pointer, index: Size | int) -> None:
        """Write an entry of a table of integers."""
        self.build.store(size.value, (table + index).value)

    def prefetch(self, where: Pointer) -> None:
        """Ask for the cache line of `where`, which need not exist."""
        place = self.build.bitcast(where.value, ir.integer(8).as_pointer())
        arguments = [place, ir.constant(INT32.type, 0), ir.constant(INT32.type, 3), ir.constant(INT32.type, 1)]
        self.call("llvm.prefetch.p0", ir.VOID, arguments)
