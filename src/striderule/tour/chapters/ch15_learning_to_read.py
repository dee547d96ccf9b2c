"""Learning to read digits.

LeNet, the network that read cheques in 1998, learns handwritten digits in a second.
"""

# %% [markdown]
# All the parts are there: convolutional layers, activations, pooling, and steps downhill. LeNet-5 puts them in a
# row: two convolutions with pooling between, then three dense layers, which give ten numbers. Softmax makes
# probabilities of them, and the loss is −log of the one for the right digit.
#
# The digits are scikit-learn's: 1,797 pictures of 8 by 8 pixels, which people wrote by hand. One in five is held
# out and never learned from.

# %%
import numpy as np

import striderule as sr
from striderule import nn, tour
from striderule.learning import digits

training, test = digits.load()
x, right = digits.placed(test.pictures), test.classes
print(len(training), "to learn from,", len(test), "held out")
print(test.pictures.shape[1:], "->", x.shape[1:])

# %% figure: Some of the digits that are held out.
# some-digits: Two rows of eight coarse grey digits, with their names above.
some = [1 - picture for picture in test.pictures[:16]]
names = [str(name) for name in right[:16]]
tour.show(some_digits=sr.figures.feature_maps(some, columns=8, titles=names, values=False, cmap="gray"))

# %% [markdown]
# `nn.summary` shows what the layers make, hold and see. Each picture is moved a little every time that it is seen,
# turned, shifted and stretched (`digits.Distortion`), so that the network does not learn single pixels by heart.

# %%
rng = np.random.default_rng(0)
model = sr.models.lenet5(activation="relu", seed=rng)
print(nn.summary(model, (1, 1, 32, 32)))

# %% shape
print(tour.shape_formula((32, 32), 5))

# %%
history = nn.fit(
    model,
    (training.pictures, training.classes),
    loss=sr.cross_entropy,
    optimiser=nn.AdamW(model, 3e-3),
    schedule=nn.CosineSchedule(4, warmup=1),
    epochs=4,
    batch_size=64,
    augment=digits.Distortion(),
    seed=rng,
    progress=False,
)
print(history)
kernels, bias = (model.parameters()[f"conv1.{name}"] for name in ("weight", "bias"))
sure = sr.softmax(nn.predict(model, x), 1)
answers = sure.argmax(axis=1)
print(f"of the digits held out, {100 * (answers == right).mean():.1f} % are read right")

# %% [markdown]
# Four times through all pictures are few. `striderule train digits` goes through them 25 times, in some seconds,
# and reads more than 99 % right; it writes a page like this one, and a model that `striderule predict` reads
# pictures with.

# %% figure: The loss of each epoch; the six kernels of the first layer, which nobody designed; what is still mistaken.
# digit-loss: A curve that falls from about two to about a tenth.
# first-kernels: Six patterns of five by five cells in blue and orange; some answer to strokes in one direction.
# mistaken: Coarse grey digits with their right and wrong names above, and how sure the network was.
wrong = np.flatnonzero(answers != right)
wrong = wrong[np.argsort(-sure[wrong].max(axis=1))][:8] if len(wrong) else np.arange(8)
titles = [f"{right[k]} read as {answers[k]} ({100 * sure[k].max():.0f} %)" for k in wrong]
tour.show(
    digit_loss=sr.figures.curves({"loss": history["loss"]}, title="loss"),
    first_kernels=sr.figures.feature_maps(kernels[:, 0], columns=6, values=False),
    mistaken=sr.figures.feature_maps(
        [1 - test.pictures[k] for k in wrong], columns=4, titles=titles, values=False, cmap="gray"
    ),
)

# %% [markdown]
# ## On the photograph
#
# The first layer knows nothing but strokes of digits. It looks at anything all the same, and finds the strokes
# there.

# %%
photo = tour.photograph().mean(axis=2).astype(np.float32)
maps = sr.conv2d((photo.mean() - photo)[None], kernels)  # ink is bright to it
print(photo.shape, "->", maps.shape)

# %% figure: What the six kernels find on the photograph.
# strokes: Six small pictures of the photograph in blue and orange, each of which stresses other edges.
tour.show(strokes=sr.figures.feature_maps(maps, columns=3))

# %% check
first = model["conv1"].eval()(x[:2, :, :16, :16])
first_loops = sr.conv2d(x[:2, :, :16, :16], kernels, bias, algorithm="reference")
crop = (photo.mean() - photo)[None, -16:, -16:]
crop_loops = sr.conv2d(crop, kernels, algorithm="reference")
checks = tour.compare(first_layer=(first, first_loops), photograph=(maps[:, -12:, -12:], crop_loops))
