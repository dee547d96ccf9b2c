"""The routine ``line``, y = slope * x + ramp, for the tests of how text becomes running code."""

import ctypes
import re

import numpy as np

# y[t] = slope * x[t] + [0, 1, 2, ...] for vectors t: the one signature, pointers as words, a constant from memory.
LINE = """
define void @{name}(i64* %args, i64 %first, i64 %last) {{
entry:
  %x.word = load i64, i64* %args
  %x = inttoptr i64 %x.word to <{lanes} x float>*
  %y.place = getelementptr i64, i64* %args, i64 1
  %y.word = load i64, i64* %y.place
  %y = inttoptr i64 %y.word to <{lanes} x float>*
  %any = icmp slt i64 %first, %last
  br i1 %any, label %task, label %end
task:
  %t = phi i64 [ %first, %entry ], [ %next, %task ]
  %x.here = getelementptr <{lanes} x float>, <{lanes} x float>* %x, i64 %t
  %value = load <{lanes} x float>, <{lanes} x float>* %x.here, align 4
  %scaled = call <{lanes} x float> @llvm.fma.v{lanes}f32(<{lanes} x float> %value, <{lanes} x float> <{slope}>, <{lanes} x float> <{ramp}>)
  %y.here = getelementptr <{lanes} x float>, <{lanes} x float>* %y, i64 %t
  store <{lanes} x float> %scaled, <{lanes} x float>* %y.here, align 4
  %next = add i64 %t, 1
  %more = icmp slt i64 %next, %last
  br i1 %more, label %task, label %end
end:
  ret void
}}
declare <{lanes} x float> @llvm.fma.v{lanes}f32(<{lanes} x float>, <{lanes} x float>, <{lanes} x float>)
"""  # noqa: E501


def line(lanes, slope=2.0, name="line", *, fused=None):
    slopes = ", ".join([f"float {slope}"] * lanes)
    ramp = ", ".join(f"float {number}.0" for number in range(lanes))
    text = LINE.format(name=name, lanes=lanes, slope=slopes, ramp=ramp)
    # Where the processor has no fused multiply-add, as with sse2, the intrinsic would become calls of the C library.
    return text if (lanes > 4 if fused is None else fused) else unfused(text)


def unfused(text):
    call = re.search(r"%scaled = call (<\d+ x float>) @\S+\(\1 %value, \1 (<.*?>), \1 (<.*?>)\)\n", text)
    vector, slope, ramp = call.groups()
    plain = f"%product = fmul {vector} %value, {slope}\n  %scaled = fadd {vector} %product, {ramp}\n"
    return text.replace(call.group(), plain)


def run(routine, x, lanes, first=0, last=None):
    y = np.full_like(x, -1)
    args = np.array([x.ctypes.data, y.ctypes.data], np.int64)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(routine.address)
    call(args.ctypes.data, first, len(x) // lanes if last is None else last)
    return y


def expected(x, lanes, slope=2.0):
    return slope * x + np.tile(np.arange(lanes, dtype=np.float32), len(x) // lanes)
