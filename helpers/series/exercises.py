"""Checks for the exercises: each takes the reader's answer and raises a hint where it is wrong."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F


class NotYetError(AssertionError):
    """The answer is not right yet; the message is a hint, not the solution."""


def hint(right: bool, text: str) -> None:
    if not right:
        raise NotYetError(text)


def answered(answer) -> None:
    hint(answer is not None and answer is not ..., "There is no answer yet: replace the ellipsis.")


def result(function, *arguments):
    """What the reader's function returns; a function left as it was returns None."""
    answered(function)
    given = function(*arguments)
    hint(given is not None, "The function returns nothing yet.")
    return given


# Notebook 00


def check_duplicate_count(count, images: torch.Tensor) -> None:
    """How many images of `images` (N, H, W, 3) have the same pixels as an earlier one?"""
    answered(count)
    hint(isinstance(count, int), f"Give a whole number, not {type(count).__name__}.")
    true = len(images) - len({image.numpy().tobytes() for image in images})
    hint(count != len(images) - true, "Those are the different images; how many are left over?")
    hint(count == true, "Not that many. Do two images with the same pixels count once or twice?")
    print(f"Right: {true:,} of {len(images):,} images.")


def check_majority_accuracy(answer, labels: torch.Tensor) -> None:
    """The accuracy of always answering the commonest class."""
    answered(answer)
    true = labels.bincount().max().item() / len(labels)
    hint(0 <= float(answer) <= 1, "An accuracy is a share: between 0 and 1, not a percentage.")
    hint(
        math.isclose(float(answer), true, abs_tol=1e-6),
        "Which class is the commonest, and how common?",
    )
    print(f"Right: {true:.3f}. A net has to beat this, not zero.")


def check_grey(function) -> None:
    """A function from (N, H, W, 3) uint8 images to (N,) mean brightness, 0 to 255."""
    images = torch.tensor([0, 255, 10]).to(torch.uint8)[:, None, None, None].expand(3, 4, 5, 3)
    brightness = torch.as_tensor(result(function, images.contiguous()))
    hint(
        brightness.shape == (3,),
        f"One number per image: shape (3,), not {tuple(brightness.shape)}.",
    )
    hint(
        torch.allclose(brightness.float(), torch.tensor([0.0, 255.0, 10.0])),
        "A white image should give 255. Do the sums overflow uint8? Convert to float first.",
    )
    print("Right: 0 for black, 255 for white, whatever the size.")


# Notebook 01


def check_output_size(function) -> None:
    """output_size(side, kernel, stride, padding) of a convolution."""
    for side, kernel, stride, padding in [(5, 3, 1, 0), (32, 5, 1, 0), (32, 3, 2, 1), (7, 3, 3, 0)]:
        true = F.conv2d(
            torch.zeros(1, 1, side, side), torch.zeros(1, 1, kernel, kernel), None, stride, padding
        ).shape[-1]
        given = result(function, side, kernel, stride, padding)
        hint(
            given == true,
            f"For side {side}, kernel {kernel}, stride {stride}, padding {padding} it is {true}, "
            f"not {given}: how far can the kernel's left edge move, and in what steps?",
        )
    print("Right for all four cases.")


def check_epoch_accuracy(function) -> None:
    """epoch_accuracy(batches): share of right answers over batches of (predicted, labels)."""
    right, wrong = torch.ones(4), torch.zeros(4)
    batches = [(right, right), (right, right), (wrong[:1], right[:1])]
    given = float(result(function, batches))
    hint(not math.isclose(given, 0), "That is the last batch alone: `=` where `+=` was meant?")
    hint(
        not math.isclose(given, 2 / 3, rel_tol=1e-6),
        "That is the mean of the batches' accuracies: the last, smaller batch weighs too much.",
    )
    hint(given <= 1, "That is a count, not a share: divide by the number of images.")
    hint(math.isclose(given, 8 / 9, rel_tol=1e-6), f"8 of 9 images are right, not {given:.3f}.")
    print("Right: every image counts once.")


def check_images_needed(count) -> None:
    """How many test images for a 95 % interval of plus or minus one point at 70 % accuracy?"""
    answered(count)
    true = 1.96**2 * 0.7 * 0.3 / 0.01**2
    hint(count > 100, "Far too few: with 100 images the interval is plus or minus 9 points.")
    hint(
        not math.isclose(count, 0.7 * 0.3 / 0.01**2, rel_tol=0.05),
        "That gives a standard error of one point; the interval reaches 1.96 of them to each side.",
    )
    hint(
        not math.isclose(count, 4 * true, rel_tol=0.05),
        "That makes the whole interval one point wide; it may reach one point to each side.",
    )
    hint(math.isclose(count, true, rel_tol=0.02), "Set 1.96 * sqrt(p * (1 - p) / n) equal to 0.01.")
    print(f"Right: about {true:,.0f}.")


# Notebook 02


def check_hellinger(function) -> None:
    """hellinger(p, q): Hellinger distance of two distributions (D,), zeros allowed."""
    pairs = [
        ([1.0, 0.0], [0.5, 0.5], 0.5411961),
        ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5], 0.0),
        ([1.0, 0.0, 0.0], [0.0, 0.4, 0.6], 1.0),
    ]
    for p, q, true in pairs:
        given = float(result(function, torch.tensor(p), torch.tensor(q)))
        wrong = 0 < true < 1
        hint(not math.isnan(given), "NaN: zeros are allowed, and no logarithm is needed.")
        hint(
            not wrong or not math.isclose(given, true * math.sqrt(2), rel_tol=1e-4),
            "That reaches the square root of 2: divide by it, so that 1 is the most.",
        )
        hint(
            not wrong or not math.isclose(given, true**2, rel_tol=1e-4),
            "That is its square: the distance is the root.",
        )
        hint(
            math.isclose(given, true, abs_tol=1e-5),
            f"Of {p} and {q} it is {true:.4f}, not {given:.4f}: the straight-line distance of the "
            "square roots, divided by the square root of 2.",
        )
    print("Right: 0 for equal distributions, 1 for those without overlap.")


def check_reordered(function) -> None:
    """reordered(matrix, order): the same distances, with the classes in another order."""
    matrix = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]])
    order = torch.tensor([2, 0, 1])
    given = torch.as_tensor(result(function, matrix, order))
    hint(
        given.shape == matrix.shape and not torch.equal(given, matrix),
        "The order is (2, 0, 1): the first class of the new matrix is the third of the old one.",
    )
    hint(
        torch.equal(given, given.T) and bool((given.diagonal() == 0).all()),
        "The distance of a class to itself is no longer 0: reorder the columns as the rows.",
    )
    hint(
        torch.equal(given, matrix[order][:, order]),
        "Entry (i, j) must be the distance of the classes order[i] and order[j].",
    )
    print("Right: this is what the Mantel test does thousands of times.")


def check_smallest_p(answer) -> None:
    """The smallest p value that permuting four classes among themselves can give."""
    answered(answer)
    hint(0 < float(answer) <= 1, "A p value is a share of the permutations: above 0, at most 1.")
    hint(
        not math.isclose(answer, 1 / 6, rel_tol=0.01),
        "Six is how many pairs there are; what is permuted are the four classes.",
    )
    hint(
        math.isclose(answer, 1 / 24, rel_tol=0.02),
        "In how many orders can four classes stand? One of them is the observed one.",
    )
    print("Right: 1 in 24. Four classes can hardly prove anything, whatever their six pairs say.")


# Notebook 03


def check_cosine(function) -> None:
    """cosine(a, b): cosine distance of two signatures (D,)."""
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([4.0, 3.0])
    given = float(result(function, a, b))
    hint(
        not math.isclose(given, 0.96, rel_tol=1e-4),
        "That is the cosine: the distance is 1 less it.",
    )
    hint(not math.isclose(given, 1 - 24, rel_tol=1e-4), "Divide by the lengths of both signatures.")
    hint(math.isclose(given, 0.04, abs_tol=1e-5), f"Of {a.tolist()} and {b.tolist()} it is 0.04.")
    longer = float(result(function, a, 5 * b))
    hint(math.isclose(longer, 0.04, abs_tol=1e-5), "It must not change when a signature is longer.")
    print("Right: only the angle counts.")


def check_turnover(function) -> None:
    """turnover(before, after): share of each image's neighbours (N, k) that are new, (N,)."""
    before = torch.tensor([[1, 2, 3, 4], [0, 2, 3, 5]])
    after = torch.tensor([[4, 3, 2, 1], [0, 4, 6, 7]])
    given = torch.as_tensor(result(function, before, after)).float()
    hint(given.shape == (2,), f"One share for each image: shape (2,), not {tuple(given.shape)}.")
    hint(not torch.allclose(given, torch.tensor([1.0, 0.25])), "That is the share that stayed.")
    hint(given[0] != 1, "The first image kept all its neighbours, in another order.")
    hint(
        not torch.allclose(given, torch.tensor([0.0, 0.5])),
        "Compare an image's neighbours with its own from before, not with those of all images.",
    )
    hint(torch.allclose(given, torch.tensor([0.0, 0.75])), "It should be 0 and 0.75 here.")
    print("Right: the order of neighbours does not matter.")


def check_common(answer) -> None:
    """What either of two predictors explains: R^2 0.10 and 0.25 by themselves, 0.28 together."""
    answered(answer)
    hint(abs(answer) <= 1, "Give a share, not a percentage: 0.28 for 28 %.")
    hint(not math.isclose(answer, 0.35), "That counts the common part twice.")
    hint(not math.isclose(answer, 0.03), "That is what colour adds to the class: its own part.")
    hint(not math.isclose(answer, 0.18), "That is what the class adds to colour: its own part.")
    hint(
        math.isclose(answer, 0.07, abs_tol=1e-6), "The two add up to more than both together: why?"
    )
    print("Right: 0.10 + 0.25 - 0.28. Only 0.03 is colour's own, 0.18 the class's.")


# Notebook 04


def check_density(function) -> None:
    """density(at, seen, bandwidth): Gaussian kernel density at (M,) of what was seen (N,)."""
    at, seen = torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.0, 3.0])
    given = torch.as_tensor(result(function, at, seen, 0.5)).float()
    true = torch.tensor([0.5319231, 0.0720774])
    hint(given.shape == (2,), f"One density for each point: shape (2,), not {tuple(given.shape)}.")
    hint(
        not torch.allclose(given, 3 * true, rtol=1e-3),
        "Take the mean of the bumps, not their sum: the whole area is 1.",
    )
    hint(
        not torch.allclose(given, true * 0.5, rtol=1e-3),
        "A narrower bump is a higher one: divide by the bandwidth too.",
    )
    hint(
        not torch.allclose(given, true * 0.5 * (2 * math.pi) ** 0.5, rtol=1e-3),
        "The bumps are not densities yet: divide by the bandwidth and by the root of 2 pi.",
    )
    hint(
        torch.allclose(given, true, rtol=1e-3),
        f"At 0 and 1, of 0, 0 and 3 with bandwidth 0.5, it is {true[0]:.4f} and {true[1]:.4f}.",
    )
    print("Right: a mean of bumps, whose area is 1.")


def check_auroc(function) -> None:
    """auroc(known, unknown): chance that an unknown image scores higher, equal scores half."""
    known, unknown = torch.tensor([0.1, 0.4, 0.4]), torch.tensor([0.4, 0.9])
    given = float(result(function, known, unknown))
    hint(not math.isclose(given, 1 / 6, rel_tol=1e-4), "Unknown is the positive class here.")
    hint(
        not math.isclose(given, 4 / 6, rel_tol=1e-4),
        "Equal scores count half, not nothing.",
    )
    hint(not math.isclose(given, 1.0, rel_tol=1e-4), "Equal scores count half, not whole.")
    hint(math.isclose(given, 5 / 6, rel_tol=1e-4), f"It should be 5 of 6 here, not {given:.3f}.")
    hint(
        math.isclose(float(result(function, unknown, unknown)), 0.5, rel_tol=1e-4),
        "Of a set against itself it is 0.5.",
    )
    print("Right: no threshold was needed.")


def check_fewest(answer) -> None:
    """Fewest calibration images for a finite threshold that promises 1 %."""
    answered(answer)
    hint(answer != 100, "Nearly: the new image counts as one of the n + 1.")
    hint(answer != 19, "That is for 5 %.")
    hint(answer == 99, "The place, 0.99 (n + 1) rounded up, must be one of the n.")
    print("Right: with fewer, no finite threshold can promise it.")


# Notebook 05


def check_pointing(function) -> None:
    """A function from maps (N, H, W) and masks (N, H, W) to whether the brightest pixel hits."""
    maps = torch.tensor([[[0.1, 0.9], [0.2, 0.3]], [[-1.0, -2.0], [-3.0, -0.5]]])
    masks = torch.tensor([[[True, False], [True, True]], [[False, False], [False, True]]])
    given = torch.as_tensor(result(function, maps, masks))
    hint(given.shape == (2,), f"Give one answer for each map, not shape {tuple(given.shape)}.")
    hint(not bool(given[0]), "The first map's brightest pixel lies beside the object.")
    hint(bool(given[1]), "A map below zero has a brightest pixel too: the one nearest to zero.")
    print("Right.")


def check_area_holding(function) -> None:
    """A function from a rectified map (h, w) to the smallest share of cells with 80 % of it."""
    cases = (
        (
            [[8.0, 1.0], [1.0, 0.0]],
            0.25,
            "Of [[8, 1], [1, 0]] one cell holds exactly 80 %.",
        ),
        ([[1.0] * 5] * 2, 0.8, "Of an even map, 80 % of the cells hold 80 %."),
        ([[0.0, 0.0, 0.0, 1.0]], 0.25, "The brightest cells come first, wherever they lie."),
    )
    for cells, share, text in cases:
        given = float(result(function, torch.tensor(cells)))
        hint(0 < given <= 1, "A share of cells: how many, divided by all of them.")
        hint(math.isclose(given, share, rel_tol=1e-5), text)
    print("Right.")


def check_confounded(together, within) -> None:
    """Cliff's delta of two groups over both classes together, and within class."""
    answered(together)
    answered(within)
    hint(
        math.isclose(float(within), 0, abs_tol=1e-6),
        "Within a class all areas are equal: how often is one larger than the other?",
    )
    hint(
        not math.isclose(float(together), 0.81, abs_tol=1e-6),
        "That is how often it is larger; how often is it smaller?",
    )
    hint(
        math.isclose(float(together), 0.8, abs_tol=1e-6),
        "Of which class is an apparent error, of which another one? The larger area is class A's.",
    )
    print("Right: 0.8 together, 0 within class.")


# Notebook 06


def check_class_map(function) -> None:
    """class_map(weights, maps, classes): class activation maps (N, h, w).

    weights (C, K) of the last layer, maps (N, K, h, w), classes (N,) asked about.
    """
    weights = torch.tensor([[1.0, 0.0], [2.0, -1.0]])
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]], [[[0.0, 1.0]], [[1.0, 1.0]]]])
    classes = torch.tensor([1, 0])
    given = torch.as_tensor(result(function, weights, maps, classes)).float()
    true = torch.tensor([[[-1.0, 4.0]], [[0.0, 1.0]]])
    hint(given.shape != (2, 2, 1, 2), "One map for each image: take the weights of its class.")
    hint(given.shape == (2, 1, 2), f"Shape (N, h, w), here (2, 1, 2), not {tuple(given.shape)}.")
    hint(not torch.allclose(given, true / 2), "Add the channels up; the mean is over places.")
    hint(not torch.allclose(given, true.relu()), "Keep what is below zero: it speaks against it.")
    wrong = torch.einsum("k,nkhw->nhw", weights[1], maps)
    hint(not torch.allclose(given, wrong), "Class 1 is asked about for the first image only.")
    hint(torch.allclose(given, true), "Each channel counts by its weight for the class.")
    print("Right: its mean over places, and the bias, make the logit.")


def check_shared(function) -> None:
    """shared(train, validation): share of validation images whose individual is in train.

    Both are lists of names, None where it is not known.
    """
    given = result(function, ["a", "a", "b", None], ["a", "c", None, "b", "b"])
    hint(not math.isclose(given, 0.8), "A missing name is no individual, and equals no other.")
    hint(not math.isclose(given, 2 / 3), "Count images, not names: b is on two of them.")
    hint(not math.isclose(given, 0.75), "Images without a name are images too: they count below.")
    hint(math.isclose(given, 0.6), "Of a, c, None, b, b it should be three of five here.")
    hint(result(function, [None], [None]) == 0, "Nobody knows who is on an image without a name.")
    print("Right: this share should be 0 where a number is to hold for new individuals.")


def check_at_sea(answer) -> None:
    """Accuracy at sea: 0.9 on known individuals, 0.6 on new ones, a quarter of whom is known."""
    answered(answer)
    hint(0 <= float(answer) <= 1, "Give a share, not a percentage.")
    hint(not math.isclose(answer, 0.9), "That is what a random split promises.")
    hint(not math.isclose(answer, 0.75), "Known and new are not half and half.")
    hint(not math.isclose(answer, 0.825), "A quarter of the animals is known, not three quarters.")
    hint(math.isclose(answer, 0.675, abs_tol=1e-6), "Weigh both by how often they are met.")
    print("Right: neither split tells it alone; it depends on whom one meets.")


# Notebook 07


def check_reach(function) -> None:
    """reach(weights, bias): the most that a filter could give for any pixels in 0..1."""
    weights = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [-0.5, 0.25, 0.0]])
    given = float(result(function, weights, -1.0))
    hint(
        not math.isclose(given, 0.25, abs_tol=1e-5),
        "That is for a white image: where a weight is negative, black gives more.",
    )
    hint(not math.isclose(given, 4.75, abs_tol=1e-5), "The bias is added to every sum.")
    hint(not math.isclose(given, 5.75, abs_tol=1e-5), "The bias is added, not subtracted.")
    hint(
        not math.isclose(given, 7.25, abs_tol=1e-5),
        "A pixel is never below 0, so a negative weight can add nothing: leave it out.",
    )
    hint(math.isclose(given, 3.75, abs_tol=1e-5), f"Here it is 3.75, not {given:.2f}.")
    print("Right: where this is not above 0, a channel is dead for every image there could be.")


def check_one_class(function) -> None:
    """one_class(labels): the share of the pairs of images that are of one class."""
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    given = float(result(function, labels))
    hint(
        not math.isclose(given, 14 / 36, rel_tol=1e-4),
        "An image is no pair with itself.",
    )
    hint(not math.isclose(given, 4, rel_tol=1e-4), "That is how many: of how many pairs?")
    hint(
        not math.isclose(given, 4 / 30, rel_tol=1e-4),
        "Each pair counts once above and twice below, or the other way round.",
    )
    hint(math.isclose(given, 4 / 15, rel_tol=1e-4), f"4 of 15 pairs, not {given:.3f}.")
    print("Right: three pairs of the first class, and one of the second.")


def check_fewest_lost(answer) -> None:
    """How few lost images, with none gained, tell one of 256 channels from chance (Holm, 1 %)."""
    answered(answer)
    hint(answer != 12, "That is for 64 channels, at 5 %.")
    hint(answer != 8, "That is for one channel: the smallest of 256 p values is multiplied by 256.")
    hint(answer != 15, "Nearly: the test looks to both sides, which doubles p.")
    hint(answer == 16, "2 x 0.5 to the power of n, times 256, is to be below 0.01: for which n?")
    print("Right: a channel that costs fewer images than that may still be worth something.")
