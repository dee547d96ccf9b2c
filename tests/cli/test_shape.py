"""The shape command and its layer grammar."""

import itertools
import json

import pytest

from striderule.cli.layers import LayerError, parse_layer, parse_size, run


def after(size, *layers):
    return run(parse_size(size), [parse_layer(layer) for layer in layers])


def test_the_stem_of_resnet():
    first, second = after("224", "conv:7,s2,p3", "pool:3,s2,p1")
    assert (first.after, first.field, first.stride) == ((112,), (7,), (2,))
    assert (second.after, second.field, second.stride) == ((56,), (11,), (4,))
    assert first.formulas == ("floor((224 + 2*3 - (7-1) - 1)/2) + 1",)


@pytest.mark.parametrize(
    ("size", "layer", "expected"),
    [
        ("5x6", "conv:3", (3, 4)),
        ("5x6", "conv:3x5,p1x2", (5, 6)),
        ("10", "conv:3,d2", (6,)),
        ("11x12", "conv:3,s2,psame", (6, 6)),
        ("11", "conv:4,s2,psame_lower", (6,)),
        ("11", "conv:4,pvalid", (8,)),
        ("11", "conv:4,pfull", (14,)),
        ("11", "conv:4,pcausal", (11,)),
        ("7", "pool:2", (3,)),
        ("7", "pool:2,ceil", (4,)),
        ("4x4x4", "convT:4,s2,p1", (8, 8, 8)),
        ("4", "convt:3,s2,p1,op1", (8,)),
        ("4", "convT:3,d2", (8,)),
    ],
)
def test_sizes(size, layer, expected):
    assert after(size, layer)[0].after == expected


def _formula_value(formula):
    """Compute a formula as a person would."""
    import math

    names = {"floor": math.floor, "ceil": math.ceil, "__builtins__": {}}
    return eval(formula, names)


def test_every_formula_gives_its_size():
    kernels, strides, paddings, dilations = (2, 3, 5), (1, 2, 3), ("0", "1", "same", "causal"), (1, 2)
    for kernel, stride, padding, dilation in itertools.product(kernels, strides, paddings, dilations):
        kinds = ["conv"] if padding.isalpha() else ["conv", "pool", "convT"]
        for kind in kinds:
            (step,) = after("17x20", f"{kind}:{kernel},s{stride},p{padding},d{dilation}")
            assert tuple(_formula_value(formula) for formula in step.formulas) == step.after


def test_the_formula_of_ceil_tells_a_window_that_is_dropped():
    """PyTorch's rule: no window starts in the padding behind the input."""
    dropped = 0
    for size, kernel, stride, padding, dilation in itertools.product((5, 7, 8), (2, 3), (1, 2, 3), (0, 1), (1, 2)):
        (step,) = after(f"{size}", f"pool:{kernel},s{stride},p{padding},d{dilation},ceil")
        starts = range(0, size + 2 * padding, stride)
        reach = size + 2 * padding - dilation * (kernel - 1) - 1
        kept = [start for start in starts if start < reach + stride and start < size + padding]
        assert step.after == (len(kept),)
        assert _formula_value(step.formulas[0]) == len(kept)
        dropped += step.formulas[0].endswith(" + 1 - 1")
    assert dropped


def test_receptive_field_by_marking():
    """Widen one output back to the input, position by position, and count what it sees."""
    layers = [(3, 2, 1), (3, 1, 2), (2, 2, 1), (3, 1, 1)]
    texts = [f"conv:{k},s{s},d{d}" for k, s, d in layers]
    step = after("200", *texts)[-1]
    seen = []
    for output in (5, 6):
        positions = {output}
        for kernel, stride, dilation in reversed(layers):
            positions = {p * stride + t * dilation for p in positions for t in range(kernel)}
        seen.append(positions)
    assert step.field == (max(seen[0]) - min(seen[0]) + 1,)
    assert step.stride == (min(seen[1]) - min(seen[0]),)


def test_receptive_field_after_a_transposed_layer_is_the_largest():
    (step,) = after("10", "convT:5,s2")
    taps = [{i for i in range(10) for t in range(5) if 2 * i + t == output} for output in range(8, 12)]
    assert step.field == (max(len(inputs) for inputs in taps),)
    assert float(step.stride[0]) == 0.5


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("dense:3", "unknown layer 'dense:3'; write kind:kernel"),
        ("conv", "the kernel size in 'conv' must be a whole number"),
        ("conv:x", "the kernel size in 'conv:x' must be"),
        ("conv:3,q2", "'q2' in 'conv:3,q2' is not understood"),
        ("conv:3,s", "the stride in 'conv:3,s' must be"),
        ("conv:3,s2,s3", "states stride twice"),
        ("conv:3,ceil", "'ceil' in 'conv:3,ceil' is not understood"),
        ("conv:3,op1", "the padding in 'conv:3,op1'|'op1' in"),
        ("convT:3,psame", "the padding in 'convT:3,psame' must be"),
        ("conv:3,pwide", "each axis as 3x5, or one of same, same_lower, valid, full, causal, got 'wide'"),
        ("conv:\N{FULLWIDTH DIGIT THREE}", "must be a whole number"),
    ],
)
def test_grammar_refusals(layer, message):
    with pytest.raises(LayerError, match=message):
        parse_layer(layer)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("0", "conv:3"), "the size must be whole numbers of at least 1 such as 224 or 224x320, got '0'"),
        (("12by5", "conv:3"), "got '12by5'"),
        (("5", "conv:3", "conv:9"), "layer 2 (conv:9): no output is left on axis 0"),
        (("5x5", "conv:3x3x3"), "layer 1 (conv:3x3x3): kernel has 3 entries and the size 2"),
        (("5", "conv:3,s0"), "layer 1 (conv:3,s0): stride must be at least 1"),
        (("5", "conv:0"), "layer 1 (conv:0): kernel must be at least 1"),
        (("10", "pool:3,p2"), "layer 1 (pool:3,p2): padding of a pooling must be at most half the kernel size"),
        (("10", "convT:3,op1"), "layer 1 (convT:3,op1): output_padding must be smaller than stride or dilation"),
        (("5",), "missing argument 'LAYER...'; see striderule shape --help"),
    ],
)
def test_command_refusals(refused, words, message):
    assert message in refused("shape", *words)


def test_printed(command):
    result = command("shape", 224, "conv:7,s2,p3", "pool:3,s2,p1", "conv:3,d2")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["conv:7,s2,p3", "112", "floor((224", "+", "2*3", "-", "(7-1)", "-", "1)/2)", "+", "1", "7", "2"] in lines
    assert any(line[:2] == ["pool:3,s2,p1", "56"] and line[-2:] == ["11", "4"] for line in lines)
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_json(command):
    result = command("shape", "224x320", "conv:3,s2,psame", "convT:4,s4", "--json")
    found = json.loads(result.stdout)
    assert found["input_size"] == [224, 320]
    assert found["layers"][0] == {
        "layer": "conv:3,s2,psame",
        "kind": "conv",
        "input_size": [224, 320],
        "size": [112, 160],
        "padding": [[0, 1], [0, 1]],
        "formula": ["floor((224 + 0 + 1 - (3-1) - 1)/2) + 1", "floor((320 + 0 + 1 - (3-1) - 1)/2) + 1"],
        "receptive_field": [3, 3],
        "effective_stride": [2, 2],
    }
    assert found["layers"][1]["effective_stride"] == [0.5, 0.5]
