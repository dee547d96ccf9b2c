"""The machine code of a parallel region, as LLVM IR: how tasks are handed out, how workers wait, sleep and stop.

Everything happens in one block of memory that the caller and the workers share; its parts that change at different
times stand 128 bytes apart, because two cores that write to one cache line (or to neighbours, which are fetched in
pairs) slow each other down. The heart of it is one 64-bit word, the *gate*:

    bits 63-32  the generation: every region that opens is a new one. Idle workers sleep on this half.
    bit 31      set while the caller sleeps until the last worker has left; it sleeps on the lower half.
    bits 30-16  seats: how many more workers may come in.
    bits 15-0   how many workers are in.

A worker comes in by exchanging the whole word for one with a seat less and a worker more, so it can only join a region
that is open, and it sees everything that the caller wrote before opening. When the caller finds no more tasks it takes
the remaining seats away and waits until nobody is in: a worker that wakes up late finds no seat, and is not waited for.

Tasks are taken in chunks: the caller takes them from the first on, the workers from the last back, until one counter
says that all are taken. So a caller with one helper touches about the same half of its arrays in every call, and finds
it in its own core's cache. The size of a chunk depends on the number of tasks alone.
"""

from __future__ import annotations

from string import Template

CHUNKS = 512  # at most so many chunks: enough to balance any number of cores, few enough not to be felt
SEATS = 0x7FFF

# Byte offsets in the block.
GATE, NEXT, JOB, SLEEPERS, CALLERS, SETTINGS, SIZE = 0, 128, 256, 384, 512, 640, 768
BACK = NEXT + 8  # how many chunks the workers took; at NEXT how many are taken in all, and all that wished to
FUNCTION, ARGS, TASKS, CHUNK, MODE = range(JOB, JOB + 40, 8)  # what the region runs, and its floating-point mode
LOCK, BUSY = range(CALLERS, CALLERS + 16, 8)  # 1 while the pool is taken; how many callers there are
STOP, SPINS, REST, ROUSE = range(SETTINGS, SETTINGS + 32, 8)  # the last two: addresses of the system's functions

# How a thread sleeps until a 32-bit word is no longer `value`, and how those who sleep on it are woken. Each may return
# early or for nothing, and the waking call may wake more than it was asked to: everyone looks again.
_FUTEX = """
define internal void @rest(ptr %block, ptr %word, i32 %value) {
  %place = getelementptr i8, ptr %block, i64 $REST
  %call = load ptr, ptr %place
  %wide = zext i32 %value to i64
  %done = call i64 (i64, ...) %call(i64 $FUTEX, ptr %word, i64 128, i64 %wide, ptr null) ; FUTEX_WAIT_PRIVATE
  ret void
}
define internal void @rouse(ptr %block, ptr %word, i64 %count) {
  %place = getelementptr i8, ptr %block, i64 $ROUSE
  %call = load ptr, ptr %place
  %done = call i64 (i64, ...) %call(i64 $FUTEX, ptr %word, i64 129, i64 %count) ; FUTEX_WAKE_PRIVATE
  ret void
}
"""
_WINDOWS = """
define internal void @rest(ptr %block, ptr %word, i32 %value) {
  %place = getelementptr i8, ptr %block, i64 $REST
  %call = load ptr, ptr %place
  %seen = alloca i32
  store i32 %value, ptr %seen
  %done = call i32 %call(ptr %word, ptr %seen, i64 4, i32 -1) ; WaitOnAddress, for ever
  ret void
}
define internal void @rouse(ptr %block, ptr %word, i64 %count) {
  %place = getelementptr i8, ptr %block, i64 $ROUSE
  %call = load ptr, ptr %place
  call void %call(ptr %word) ; WakeByAddressAll
  ret void
}
"""
_DARWIN = """
define internal void @rest(ptr %block, ptr %word, i32 %value) {
  %place = getelementptr i8, ptr %block, i64 $REST
  %call = load ptr, ptr %place
  %wide = zext i32 %value to i64
  %done = call i32 %call(ptr %word, i64 %wide, i64 4, i32 0) ; os_sync_wait_on_address
  ret void
}
define internal void @rouse(ptr %block, ptr %word, i64 %count) {
  %place = getelementptr i8, ptr %block, i64 $ROUSE
  %call = load ptr, ptr %place
  %done = call i32 %call(ptr %word, i64 4, i32 0) ; os_sync_wake_by_address_all
  ret void
}
"""
_POLL = """
define internal void @rest(ptr %block, ptr %word, i32 %value) {
  %place = getelementptr i8, ptr %block, i64 $REST
  %call = load ptr, ptr %place
  %done = call i32 %call(i32 200) ; usleep, microseconds: there is nothing to wait on
  ret void
}
define internal void @rouse(ptr %block, ptr %word, i64 %count) {
  ret void
}
"""
SLEEPS = {"futex": _FUTEX, "windows": _WINDOWS, "darwin": _DARWIN, "poll": _POLL}

# Spinning politely, and the floating-point mode: rounding, flushing of denormals. Workers compute in the mode of the
# caller, so that the bits of a result do not tell who computed it.
_X86 = """
declare void @llvm.x86.sse2.pause()
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define internal void @pause() {
  call void @llvm.x86.sse2.pause()
  ret void
}
define internal void @keep_mode(ptr %place) {
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  ret void
}
define internal void @take_mode(ptr %place) {
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  ret void
}
"""
_ARM = """
declare void @llvm.aarch64.hint(i32)
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define internal void @pause() {
  call void @llvm.aarch64.hint(i32 1) ; yield
  ret void
}
define internal void @keep_mode(ptr %place) {
  %mode = call i64 @llvm.aarch64.get.fpcr()
  store i64 %mode, ptr %place
  ret void
}
define internal void @take_mode(ptr %place) {
  %mode = load i64, ptr %place
  call void @llvm.aarch64.set.fpcr(i64 %mode)
  ret void
}
"""

# Runs chunks until there are none; a guest (a worker) also goes when the pool is being stopped, the caller never.
_WORK = """
define internal void @work(ptr %block, i1 %guest) {
entry:
  %function.at = getelementptr i8, ptr %block, i64 $FUNCTION
  %args.at = getelementptr i8, ptr %block, i64 $ARGS
  %tasks.at = getelementptr i8, ptr %block, i64 $TASKS
  %chunk.at = getelementptr i8, ptr %block, i64 $CHUNK
  %next.at = getelementptr i8, ptr %block, i64 $NEXT
  %back.at = getelementptr i8, ptr %block, i64 $BACK
  %stop.at = getelementptr i8, ptr %block, i64 $STOP
  %function = load ptr, ptr %function.at
  %args = load ptr, ptr %args.at
  %tasks = load i64, ptr %tasks.at
  %chunk = load i64, ptr %chunk.at
  %less = sub i64 %tasks, 1
  %final = udiv i64 %less, %chunk ; the number of the last chunk
  br label %again
again:
  %front = phi i64 [ 0, %entry ], [ %following, %run ]
  %stop = load atomic i64, ptr %stop.at acquire, align 8
  %stopping = icmp ne i64 %stop, 0
  %leaving = and i1 %stopping, %guest
  br i1 %leaving, label %done, label %take
take:
  %taken = atomicrmw add ptr %next.at, i64 1 monotonic
  %some = icmp sle i64 %taken, %final
  br i1 %some, label %side, label %done
side:
  br i1 %guest, label %behind, label %run
behind:
  %back = atomicrmw add ptr %back.at, i64 1 monotonic
  %fromback = sub i64 %final, %back
  br label %run
run:
  %number = phi i64 [ %front, %side ], [ %fromback, %behind ]
  %following = add i64 %front, 1
  %first = mul i64 %number, %chunk
  %end = add i64 %first, %chunk
  %whole = icmp slt i64 %end, %tasks
  %last = select i1 %whole, i64 %end, i64 %tasks
  call void %function(ptr %args, i64 %first, i64 %last)
  br label %again
done:
  ret void
}
"""

# The whole life of a worker.
_SERVE = """
define internal void @serve(ptr %block) {
entry:
  %gate = getelementptr i8, ptr %block, i64 $GATE
  %upper = getelementptr i8, ptr %gate, i64 4
  %stop.at = getelementptr i8, ptr %block, i64 $STOP
  %spins.at = getelementptr i8, ptr %block, i64 $SPINS
  %sleepers = getelementptr i8, ptr %block, i64 $SLEEPERS
  %mode = getelementptr i8, ptr %block, i64 $MODE
  br label %idle
idle:
  %spins = load i64, ptr %spins.at
  br label %look
look:
  %left = phi i64 [ %spins, %idle ], [ %fewer, %spin ], [ %left, %enter ]
  %seen = load atomic i64, ptr %gate acquire, align 8
  %stop = load atomic i64, ptr %stop.at acquire, align 8
  %stopping = icmp ne i64 %stop, 0
  br i1 %stopping, label %gone, label %seek
seek:
  %seats = and i64 %seen, $SEATS_MASK
  %open = icmp ne i64 %seats, 0
  br i1 %open, label %enter, label %wait
enter:
  %changed = add i64 %seen, $ENTER
  %pair = cmpxchg ptr %gate, i64 %seen, i64 %changed acq_rel acquire
  %in = extractvalue { i64, i1 } %pair, 1
  br i1 %in, label %join, label %look
join:
  call void @take_mode(ptr %mode)
  call void @work(ptr %block, i1 true)
  %old = atomicrmw sub ptr %gate, i64 1 acq_rel
  %others = and i64 %old, $WAITED_AND_IN
  %awaited = icmp eq i64 %others, $WAITED_LAST
  br i1 %awaited, label %tell, label %idle
tell:
  call void @rouse(ptr %block, ptr %gate, i64 1)
  br label %idle
wait:
  %more = icmp sgt i64 %left, 0
  br i1 %more, label %spin, label %sleep
spin:
  call void @pause()
  %fewer = sub i64 %left, 1
  br label %look
sleep:
  %generation.wide = lshr i64 %seen, 32
  %generation = trunc i64 %generation.wide to i32
  %a = atomicrmw add ptr %sleepers, i64 1 seq_cst
  call void @rest(ptr %block, ptr %upper, i32 %generation)
  %b = atomicrmw sub ptr %sleepers, i64 1 seq_cst
  br label %idle
gone:
  ret void
}
"""

# The call that does it all. `seats` is the number of helpers wished for; every other caller at work counts as one.
_DISPATCH = """
define internal void @dispatch(ptr %block, ptr %function, ptr %args, i64 %tasks, i64 %wished) {
entry:
  %gate = getelementptr i8, ptr %block, i64 $GATE
  %upper = getelementptr i8, ptr %gate, i64 4
  %lock = getelementptr i8, ptr %block, i64 $LOCK
  %busy = getelementptr i8, ptr %block, i64 $BUSY
  %up = add i64 %tasks, $CHUNKS_LESS_ONE
  %chunk = sdiv i64 %up, $CHUNKS
  %callers = atomicrmw add ptr %busy, i64 1 acq_rel
  %free = sub i64 %wished, %callers
  %rest = sub i64 %tasks, %chunk ; what one chunk leaves; there are at most so many others to help with
  %fewer = icmp slt i64 %free, %rest
  %seats = select i1 %fewer, i64 %free, i64 %rest
  %helped = icmp sgt i64 %seats, 0
  br i1 %helped, label %try, label %alone
try:
  %pair = cmpxchg ptr %lock, i64 0, i64 1 acquire monotonic
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %prepare, label %alone

alone:
  %nothing = icmp slt i64 %tasks, 1
  br i1 %nothing, label %leave, label %one
one:
  %first = phi i64 [ 0, %alone ], [ %end, %one ]
  %end = add i64 %first, %chunk
  %whole = icmp slt i64 %end, %tasks
  %last = select i1 %whole, i64 %end, i64 %tasks
  call void %function(ptr %args, i64 %first, i64 %last)
  br i1 %whole, label %one, label %leave

prepare:
  %function.at = getelementptr i8, ptr %block, i64 $FUNCTION
  %args.at = getelementptr i8, ptr %block, i64 $ARGS
  %tasks.at = getelementptr i8, ptr %block, i64 $TASKS
  %chunk.at = getelementptr i8, ptr %block, i64 $CHUNK
  %mode.at = getelementptr i8, ptr %block, i64 $MODE
  %next.at = getelementptr i8, ptr %block, i64 $NEXT
  %back.at = getelementptr i8, ptr %block, i64 $BACK
  %sleepers = getelementptr i8, ptr %block, i64 $SLEEPERS
  %spins.at = getelementptr i8, ptr %block, i64 $SPINS
  store ptr %function, ptr %function.at
  store ptr %args, ptr %args.at
  store i64 %tasks, ptr %tasks.at
  store i64 %chunk, ptr %chunk.at
  call void @keep_mode(ptr %mode.at)
  store i64 0, ptr %next.at
  store i64 0, ptr %back.at
  %before = load atomic i64, ptr %gate monotonic, align 8
  %generation = lshr i64 %before, 32
  %new = add i64 %generation, 1
  %high = shl i64 %new, 32
  %low = shl i64 %seats, 16
  %opened = or i64 %high, %low
  ; Exchanged, not stored: a worker that has counted itself a sleeper finds the new generation, or is seen below.
  %was = atomicrmw xchg ptr %gate, i64 %opened seq_cst
  %asleep = load atomic i64, ptr %sleepers seq_cst, align 8
  %any = icmp sgt i64 %asleep, 0
  br i1 %any, label %wake, label %join
wake:
  call void @rouse(ptr %block, ptr %upper, i64 %seats)
  br label %join
join:
  call void @work(ptr %block, i1 false)
  %closed = atomicrmw and ptr %gate, i64 $NO_SEATS acq_rel
  %spins = load i64, ptr %spins.at
  br label %look
look:
  %left = phi i64 [ %spins, %join ], [ %less, %spin ]
  %now = load atomic i64, ptr %gate acquire, align 8
  %in = and i64 %now, $IN_MASK
  %empty = icmp eq i64 %in, 0
  br i1 %empty, label %done, label %wait
wait:
  %more = icmp sgt i64 %left, 0
  br i1 %more, label %spin, label %sleep
spin:
  call void @pause()
  %less = sub i64 %left, 1
  br label %look
sleep:
  %old = atomicrmw or ptr %gate, i64 $WAITED acq_rel
  %still = and i64 %old, $IN_MASK
  %over = icmp eq i64 %still, 0
  br i1 %over, label %done, label %rest.now
rest.now:
  %marked = or i64 %old, $WAITED
  %half = trunc i64 %marked to i32
  call void @rest(ptr %block, ptr %gate, i32 %half)
  br label %sleep
done:
  store atomic i64 0, ptr %lock release, align 8
  br label %leave
leave:
  %gone = atomicrmw sub ptr %busy, i64 1 acq_rel
  ret void
}
"""

_REST = """
define internal void @stop(ptr %block) {
  %gate = getelementptr i8, ptr %block, i64 $GATE
  %upper = getelementptr i8, ptr %gate, i64 4
  %stop = getelementptr i8, ptr %block, i64 $STOP
  store atomic i64 1, ptr %stop seq_cst, align 8
  %a = atomicrmw add ptr %gate, i64 $GENERATION seq_cst
  call void @rouse(ptr %block, ptr %upper, i64 2147483647)
  ret void
}

define internal void @spin(ptr %block, i64 %count) { ; as long as an idle worker that looks `count` times
entry:
  %gate = getelementptr i8, ptr %block, i64 $GATE
  %stop.at = getelementptr i8, ptr %block, i64 $STOP
  br label %look
look:
  %left = phi i64 [ %count, %entry ], [ %fewer, %look ]
  %seen = load atomic i64, ptr %gate acquire, align 8
  %stop = load atomic i64, ptr %stop.at acquire, align 8
  call void @pause()
  %fewer = sub i64 %left, 1
  %more = icmp sgt i64 %fewer, 0
  br i1 %more, label %look, label %done
done:
  ret void
}

define void @striderule_region(ptr %table, i64 %first, i64 %last) { ; where the functions are
  %1 = getelementptr ptr, ptr %table, i64 1
  %2 = getelementptr ptr, ptr %table, i64 2
  %3 = getelementptr ptr, ptr %table, i64 3
  store ptr @dispatch, ptr %table
  store ptr @serve, ptr %1
  store ptr @stop, ptr %2
  store ptr @spin, ptr %3
  ret void
}
"""

NAME = "striderule_region"
FUNCTIONS = ("dispatch", "serve", "stop", "spin")

_WAITED, _SEAT, _IN_MASK = 1 << 31, 1 << 16, 0xFFFF
_NUMBERS = {
    "GATE": GATE, "NEXT": NEXT, "BACK": BACK,
    "FUNCTION": FUNCTION, "ARGS": ARGS, "TASKS": TASKS, "CHUNK": CHUNK, "MODE": MODE,
    "SLEEPERS": SLEEPERS, "LOCK": LOCK, "BUSY": BUSY, "STOP": STOP, "SPINS": SPINS, "REST": REST, "ROUSE": ROUSE,
    "CHUNKS": CHUNKS, "CHUNKS_LESS_ONE": CHUNKS - 1, "GENERATION": 1 << 32, "SEATS_MASK": SEATS << 16,
    "NO_SEATS": ~(SEATS << 16), "ENTER": 1 - _SEAT, "WAITED": _WAITED, "IN_MASK": _IN_MASK,
    "WAITED_AND_IN": _WAITED | _IN_MASK, "WAITED_LAST": _WAITED | 1,
}  # fmt: skip


def text(processor: str, sleep: str) -> str:
    """Return the module for a processor ("x86" or "arm") and a way to sleep (one of `SLEEPS`)."""
    parts = {"x86": _X86, "arm": _ARM}[processor] + SLEEPS[sleep] + _WORK + _SERVE + _DISPATCH + _REST
    return Template(parts).substitute(_NUMBERS, FUTEX={"x86": 202, "arm": 98}[processor])
