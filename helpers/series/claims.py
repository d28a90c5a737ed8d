"""The claims of the series: written down before they are measured, judged by their own rule.

The registry holds what each claim says, where it comes from, which quantity decides it and how.
A notebook measures the quantity; the rule gives the verdict; nobody chooses a word by hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from helpers.network.models import imagenet_file

HELD, FAILED, UNDECIDED, NOT_RE_RUN = "held", "failed", "undecided", "not re-run"


class Rule(NamedTuple):
    """The open range in which a quantity must lie for its claim to hold."""

    low: float
    high: float

    def verdict(self, low: float, high: float) -> str:
        """`held` if the whole interval lies inside, `failed` if none of it does."""
        if math.isnan(low) or math.isnan(high):
            return UNDECIDED
        if self.low < low and high < self.high:
            return HELD
        return FAILED if high <= self.low or self.high <= low else UNDECIDED


def above(limit: float) -> Rule:
    return Rule(limit, math.inf)


def below(limit: float) -> Rule:
    return Rule(-math.inf, limit)


def within(low: float, high: float) -> Rule:
    return Rule(low, high)


def exactly(value: float) -> Rule:
    """For what is counted, not estimated; wide enough for rounding."""
    return Rule(value - 1e-9, value + 1e-9)


@dataclass(frozen=True)
class Claim:
    """One claim. `post` is the letter of the post (ours: "us"), "implied" where its code takes the
    claim for granted. `unit` is "points" (differences of shares), "%" or "".

    `dataset`, `full`, `yardstick`, `file` (in the data folder) and `weights` (of ImageNet, for the
    net named) say what the claim needs: a claim about CIFAR-10 after 100 epochs cannot be judged on
    generated scenes after three, nor agreement with what is known about classes of which nothing is
    known.
    """

    notebook: str
    post: str
    statement: str
    quantity: str
    rule: Rule
    control: str
    unit: str = "points"
    dataset: str | None = None
    full: bool = False
    yardstick: bool = False
    file: str = ""
    weights: str = ""


# Datasets of whose classes something is known without the net (`series.yardsticks`).
KNOWN = ("cifar10", "scenes")

CLAIMS: dict[str, Claim] = {
    "no-image-twice": Claim(
        notebook="00",
        post="us",
        statement="No image of the test set is also in the training set",
        quantity="share of test images whose pixels are found among the training images",
        rule=exactly(0),
        unit="%",
        control="the same search for training images finds all of them",
    ),
    "colour-is-not-class": Claim(
        notebook="00",
        post="us",
        statement="Mean colour alone does not give the class away",
        quantity="accuracy of the nearest class by mean colour, less that with shuffled labels",
        rule=below(0.05),
        control="accuracy with shuffled labels",
    ),
    "printed-train-accuracy": Claim(
        notebook="01",
        post="A",
        statement="The train accuracy that the post's loop prints is the train accuracy",
        quantity="printed over true, after the last epoch of the loop",
        rule=within(0.98, 1.02),
        control="the same sum divided by the right loader's length",
        unit="",
    ),
    "printed-test-accuracy": Claim(
        notebook="01",
        post="A",
        statement="The test accuracy that the post's loop prints is the test accuracy",
        quantity="printed less true, after the last epoch of the loop",
        rule=within(-0.01, 0.01),
        control="counted over all batches",
    ),
    "last-batch": Claim(
        notebook="01",
        post="A, implied",
        statement="As many scores as the last test batch holds stand for the test set",
        quantity="typical error (root mean square) of accuracy on so few test images",
        rule=below(0.02),
        control="the same for 1,000 images",
    ),
    "hundred-epochs": Claim(
        notebook="01",
        post="A, implied",
        statement="A hundred epochs without stopping do the net no harm",
        quantity="test accuracy after the last epoch less that at the epoch validation chooses",
        rule=above(-0.01),
        control="the same difference for our recipe",
        full=True,
    ),
    "test-set-chooses": Claim(
        notebook="01",
        post="A, implied",
        statement="The test set may double as the validation set",
        quantity="test accuracy at the epoch that the test set chooses, "
        "less that at the epoch that validation chooses",
        rule=below(0.005),
        control="choosing on one half of the test set, judged on the other half",
    ),
    "scores-are-probabilities": Claim(
        notebook="01",
        post="A, implied",
        statement="The confidence scores kept after the last epoch can be read as probabilities",
        quantity="expected calibration error on the test set, less that of a calibrated net",
        rule=below(0.02),
        control="the same after temperature scaling on validation images",
        unit="",
        full=True,
    ),
    "about-68": Claim(
        notebook="01",
        post="E",
        statement="The post's net reaches about 68 % validation accuracy",
        quantity="validation accuracy at the best epoch, stopped with patience 3",
        rule=within(0.66, 0.70),
        unit="%",
        control="the same net by our recipe",
        dataset="cifar10",
        full=True,
    ),
    "last-weights": Claim(
        notebook="01",
        post="E, implied",
        statement="Keeping the last weights instead of the best costs nothing",
        quantity="test accuracy of the best epoch's weights less that of the last epoch's",
        rule=below(0.005),
        control="the same for our recipe",
    ),
    "early-stop-is-enough": Claim(
        notebook="01",
        post="E, implied",
        statement="Early stopping with patience 3 gets out of this net what is in it",
        quantity="test accuracy by our recipe less that at the best epoch of the post's",
        rule=below(0.01),
        control="between seeds of the post's recipe",
        full=True,
    ),
    "one-run-is-enough": Claim(
        notebook="01",
        post="A and E, implied",
        statement="One training run tells the accuracy of a recipe to half a point",
        quantity="1.96 standard deviations of test accuracy over training seeds",
        rule=below(0.005),
        control="beside it, 1.96 standard errors from the choice of test images",
    ),
    "temperature-mends-it": Claim(
        notebook="01",
        post="us",
        statement="One temperature, fitted on validation images, makes our net's scores honest",
        quantity="expected calibration error after it, less that of a calibrated net",
        rule=below(0.01),
        control="the same before it",
        unit="",
    ),
    "scores-tell-alike": Claim(
        notebook="02",
        post="A",
        statement="Confidence scores tell which classes are alike",
        quantity="rank correlation of the net's divergences with the yardstick's (people; on "
        "scenes the planted families), less the better of two that know nothing: a linear model on "
        "8 x 8 pixels, and each image's scores shuffled",
        rule=above(0),
        control="correlations of these two",
        unit="",
        yardstick=True,
    ),
    "beyond-the-divide": Claim(
        notebook="02",
        post="us",
        statement="It is more than the divide between animals and vehicles: within them too the "
        "net agrees with people better than a linear model does",
        quantity="rank correlation over the 21 pairs within, ranked apart, net less linear model",
        rule=above(0),
        control="correlation of the linear model",
        unit="",
        dataset="cifar10",
    ),
    "more-human": Claim(
        notebook="02",
        post="us",
        statement="The net comes closer to the yardstick as it learns",
        quantity="rank correlation at the end less that after the first epoch",
        rule=above(0),
        control="correlation of the untrained net",
        unit="",
        yardstick=True,
    ),
    "map-of-last-batch": Claim(
        notebook="02",
        post="A, implied",
        statement="The scores of the last test batch give the map of classes that all scores give",
        quantity="rank correlation of the two maps, reached by all but the worst 2.5 % of batches",
        rule=above(0.9),
        control="the same for 1,000 images",
        unit="",
    ),
    "js-is-right": Claim(
        notebook="02",
        post="A",
        statement="JS divergence is the right measure: no usual alternative agrees better",
        quantity="rank correlation with the yardstick, JS less the best of its rivals, each "
        "measure used for net and people alike",
        rule=above(-0.02),
        control="correlation by a measure that should fail, the difference of mean scores",
        unit="",
        yardstick=True,
    ),
    "families-found": Claim(
        notebook="02",
        post="A",
        statement="Clusters by JS divergence are families: on scenes they are the planted ones",
        quantity="adjusted Rand index of average linkage, its k chosen by rule, with the families",
        rule=above(0.7),
        control="the same with each image's scores shuffled, cut into three",
        unit="",
    ),
    "rows-as-features": Claim(
        notebook="02",
        post="A, implied",
        statement="K-means may take the rows of the divergence matrix for features",
        quantity="adjusted Rand index with the planted families, all cut into three: k-means on "
        "rows less the best of three methods that take distances",
        rule=above(-0.1),
        control="index of these three",
        unit="",
    ),
    "none-where-none": Claim(
        notebook="02",
        post="us",
        statement="Where there are no families, no clusters come back",
        quantity="adjusted Rand index between the best clusters of two nets, on scenes without "
        "families",
        rule=below(0.3),
        control="the same on scenes with families",
        unit="",
    ),
    "beside-tsne": Claim(
        notebook="02",
        post="A",
        statement="JS clustering holds up beside t-SNE of the images",
        quantity="rank correlation with the yardstick, JS divergence of scores less distance of "
        "class centroids on the best t-SNE map of the pixels",
        rule=above(0),
        control="distance of class centroids of the pixels themselves",
        unit="",
        yardstick=True,
    ),
    "measure-not-input": Claim(
        notebook="02",
        post="A, implied",
        statement="It is the measure that does it: JS tells more than t-SNE of the same scores",
        quantity="rank correlation with the yardstick, JS divergence of scores less distance of "
        "class centroids on a t-SNE map of the same scores",
        rule=above(0),
        control="distance of class centroids of the same scores, less the same",
        unit="",
        yardstick=True,
    ),
    "colour-first": Claim(
        notebook="03",
        post="C",
        statement="Early in training, alike means alike in overall colour; later it means more",
        quantity="share of the variance of signature distance that colour alone explains, after an "
        "eighth of the first epoch less at the end",
        rule=above(0),
        control="the same share in the untrained net",
        unit="%",
    ),
    "class-later": Claim(
        notebook="03",
        post="C",
        statement="Later in training, alike comes to mean of the same class",
        quantity="share of the variance of signature distance that class alone explains, at the "
        "end less after an eighth of the first epoch",
        rule=above(0),
        control="the same share in raw pixels",
        unit="%",
    ),
    "subcategories-emerge": Claim(
        notebook="03",
        post="C",
        statement="Subcategories of a class emerge in training: on scenes, its backgrounds",
        quantity="adjusted Rand index of the groups within a class with the planted background, at "
        "the end less untrained",
        rule=above(0),
        control="the same of groups made of raw pixels",
        unit="",
    ),
    "softmax-will-do": Claim(
        notebook="03",
        post="C, implied",
        statement="Softmax outputs, clustered, give the groups that the layer before them gives",
        quantity="adjusted Rand index of the two groupings into 30, as deepViz had it",
        rule=above(0.5),
        control="between two seeds of k-means on the same layer",
        unit="",
    ),
    "nearer-in-kind": Claim(
        notebook="03",
        post="C",
        statement="Signature distance ranks images by kind: neighbours share the class",
        quantity="share of images that are of the commonest class of their 20 nearest, by "
        "signature less by raw pixels",
        rule=above(0.1),
        control="the untrained net less raw pixels",
    ),
    "atypical-horse": Claim(
        notebook="03",
        post="C",
        statement="A misread image is an atypical one: it lies in a small group of its class",
        quantity="share in groups smaller than an even share, of images that another net "
        "misreads less of those that it reads right, less the same with images shuffled within "
        "classes",
        rule=above(0),
        control="the same with groups of raw pixels",
    ),
    "late-is-wrong": Claim(
        notebook="03",
        post="us",
        statement="Images on which one net settles late are misread by another net more often",
        quantity="error of another net on the third that settles last less that on the rest, less "
        "the same with images shuffled within classes",
        rule=above(0.05),
        control="the part taken off, which is the classes' own",
    ),
    "unsure-together": Claim(
        notebook="03",
        post="us",
        statement="The net is unsure where people are, also within a class",
        quantity="rank correlation of the entropies of the net's and of people's answers, mean of "
        "the classes",
        rule=above(0),
        control="the same with images shuffled within classes",
        unit="",
        dataset="cifar10",
        file="cifar10h-counts.npy",
    ),
    "post-b-accuracy": Claim(
        notebook="04",
        post="B",
        statement="The post's net reads 98 % of its test photographs rightly",
        quantity="test accuracy of ResNet50, its last layer trained for six epochs",
        rule=within(0.97, 0.99),
        control="our net, from nothing at 64 pixels",
        unit="%",
        dataset="catdog",
        full=True,
        weights="ResNet50",
    ),
    "post-b-as-it-was": Claim(
        notebook="04",
        post="B",
        statement="With the post's own net and photographs, density below 0.04 removes the wrong "
        "predictions",
        quantity="share of wrongly read test images whose mean density is below 0.04, density "
        "as in the post",
        rule=above(0.9),
        control="the same share of those read rightly; of the wrong ones, density repaired",
        unit="%",
        dataset="catdog",
        full=True,
        weights="ResNet50",
    ),
    "low-is-not-unknown": Claim(
        notebook="04",
        post="B",
        statement="A low score does not mean an unknown class or a hard sample",
        quantity="share of known images, read rightly, among images scored below 0.7, unknown "
        "(of the same kind) and known ones weighing the same",
        rule=above(0.2),
        control="the same share among all images",
        unit="%",
        yardstick=True,
    ),
    "high-is-not-known": Claim(
        notebook="04",
        post="B",
        statement="A high score does not mean a known class",
        quantity="share of unknown images (of the same kind) among images scored above 0.9, "
        "unknown and known ones weighing the same",
        rule=above(0.2),
        control="among all images it is one half; with images of another kind",
        unit="%",
        yardstick=True,
    ),
    "density-tells-unknown": Claim(
        notebook="04",
        post="B",
        statement="Density tells unknown images of the same kind where the score does not",
        quantity="AUROC of other classes of the same kind against known images, the post's "
        "density less the largest score",
        rule=above(0),
        control="AUROC of the largest score",
        unit="",
        yardstick=True,
    ),
    "density-tells-far": Claim(
        notebook="04",
        post="B",
        statement="Density tells unknown images of another kind where the score does not",
        quantity="AUROC of classes of another kind against known images, the post's density less "
        "the largest score",
        rule=above(0),
        control="AUROC of the largest score",
        unit="",
        yardstick=True,
    ),
    "density-tells-wrong": Claim(
        notebook="04",
        post="B",
        statement="Density tells wrong answers where the score does not",
        quantity="AUROC of wrongly against rightly read images, the post's density less the "
        "largest score",
        rule=above(0),
        control="AUROC of the largest score",
        unit="",
    ),
    "threshold-removes-wrong": Claim(
        notebook="04",
        post="B",
        statement="A density of 0.04 is good enough a threshold to remove the wrong predictions",
        quantity="share of wrongly read test images whose mean density is below 0.04, less the "
        "same share of those read rightly",
        rule=above(0.5),
        control="by the largest score, with a threshold that loses as many rightly read images",
    ),
    "threshold-travels": Claim(
        notebook="04",
        post="B, implied",
        statement="0.04 means the same for another training of the same net",
        quantity="1.96 standard deviations over training seeds of the share of rightly read test "
        "images that it rejects; not judged where that is below 1 %",
        rule=below(0.02),
        control="the same for the threshold that calibration images give for 5 %",
    ),
    "large-is-not-safe": Claim(
        notebook="04",
        post="B",
        statement="A very large logit is not to be believed either: rejecting it helps",
        quantity="AUROC of classes of another kind against known images, density of the largest "
        "logit less the largest logit itself",
        rule=above(0),
        control="the same for wrongly against rightly read images",
        unit="",
        yardstick=True,
    ),
    "fitted-on-training": Claim(
        notebook="04",
        post="B, implied",
        statement="The density may be fitted on augmented training images",
        quantity="share of test images below the density that 5 % of the images have that it was "
        "fitted on, less 5 %",
        rule=within(-0.01, 0.01),
        control="fitted on held-out images",
    ),
    "net-not-colours": Claim(
        notebook="04",
        post="us",
        statement="It takes the net: colours and file alone tell unknown photographs less well",
        quantity="AUROC of the unknown photographs against cats and dogs, largest score less "
        "Mahalanobis distance on statistics of colour and file",
        rule=above(0),
        control="AUROC by these statistics",
        unit="",
        full=True,
    ),
    "density-beside-rivals": Claim(
        notebook="04",
        post="us",
        statement="On many classes, too, density tells unknown classes as well as the best rival",
        quantity="AUROC of held-out classes, class-conditional density less the best of nine "
        "rivals, over choices of the classes held out",
        rule=above(-0.02),
        control="AUROC of the post's density",
        unit="",
    ),
    "keeps-its-promise": Claim(
        notebook="04",
        post="us",
        statement="A split-conformal threshold for 5 % rejects no more than 5 % of known images",
        quantity="share of known test images rejected, less 5 %",
        rule=below(0.01),
        control="the same images darkened and with noise, of which nothing was promised",
    ),
    "promise-by-class": Claim(
        notebook="04",
        post="us",
        statement="With thresholds by predicted class it holds in every one of them",
        quantity="share of predicted classes of which more is rejected than chance allows with "
        "5 % (above the 95 % band: expected in 2.5 %)",
        rule=below(0.1),
        control="the same with one threshold for all",
        unit="%",
    ),
    "false-alarms": Claim(
        notebook="04",
        post="us",
        statement="Of what Benjamini-Hochberg calls unknown at 10 %, at most 10 % is known",
        quantity="share of known images among those called unknown, mean over batches; not judged "
        "where fewer than one image a batch is called",
        rule=below(0.12),
        control="the same share among those beyond the 5 % threshold",
        unit="%",
    ),
    "hard-for-people": Claim(
        notebook="04",
        post="us",
        statement="Most known images that it rejects are hard for people too",
        quantity="share of the rejected known images on which people disagree, or chose another "
        "class",
        rule=above(0.5),
        control="the same share of all known images",
        unit="%",
        dataset="cifar10",
        file="cifar10h-counts.npy",
    ),
    "apparent-by-people": Claim(
        notebook="05",
        post="B",
        statement="Misclassifications that are apparent to people have a larger attention area "
        "than understandable ones",
        quantity="Cliff's delta of the area above half of the maximum (Grad-CAM) of wrongly read "
        "images on which people agree against those on which they do not, within class and "
        "confidence",
        rule=above(0),
        control="the same among rightly read images",
        unit="",
        dataset="cifar10",
        file="cifar10h-counts.npy",
    ),
    "apparent-by-score": Claim(
        notebook="05",
        post="B",
        statement="Misclassifications that are apparent by their score, as the post grouped them, "
        "have a larger attention area",
        quantity="Cliff's delta of the area above half of the maximum (Grad-CAM) of wrongly read "
        "images scored above 0.7 against the others, within class (and size of the object)",
        rule=above(0),
        control="the same among rightly read images",
        unit="",
    ),
    "apparent-photographs": Claim(
        notebook="05",
        post="B",
        statement="So it is on photographs of cats and dogs",
        quantity="the same as above, of wrongly read photographs, within class",
        rule=above(0),
        control="the same among rightly read photographs",
        unit="",
        full=True,
    ),
    "any-way-of-looking": Claim(
        notebook="05",
        post="us",
        statement="Whether the area is larger does not hang on the method or on the definition",
        quantity="share of pairs of a method and a definition of area that say what Grad-CAM's "
        "area above half of the maximum says (larger, smaller, or neither after Holm's "
        "correction), by score",
        rule=above(0.9),
        control="rank correlation of the three areas over images",
        unit="%",
    ),
    "points-at-object": Claim(
        notebook="05",
        post="us",
        statement="Grad-CAM points at the object better than what has not learnt",
        quantity="share of scenes where the brightest pixel lies on the object, less that of the "
        "best of a centred Gaussian, the edges and the untrained net's Grad-CAM",
        rule=above(0),
        control="the share by this best control",
    ),
    "energy-on-object": Claim(
        notebook="05",
        post="us",
        statement="More than half of what Grad-CAM highlights lies on the object",
        quantity="share of the rectified map inside the object's mask, mean over scenes",
        rule=above(0.5),
        control="the share of the image that the object covers",
        unit="%",
    ),
    "best-of-family": Claim(
        notebook="05",
        post="us",
        statement="None of its successors points at the object better than Grad-CAM",
        quantity="share of scenes where the brightest pixel lies on the object, Grad-CAM less the "
        "best of the other methods",
        rule=above(-0.02),
        control="the share by this best method",
    ),
    "wrong-looks-elsewhere": Claim(
        notebook="05",
        post="us",
        statement="Where the net errs it looks away from the object",
        quantity="share of the rectified map inside the object's mask, rightly less wrongly read "
        "scenes, within class and size of the object",
        rule=above(0.05),
        control="the same difference for a centred Gaussian",
    ),
    "deletion-beats-centre": Claim(
        notebook="05",
        post="us",
        statement="What Grad-CAM highlights is what the score hangs on",
        quantity="area under the deletion curve, Grad-CAM less the best of a centred Gaussian, the "
        "edges and random pixels",
        rule=below(0),
        control="the area for this best control",
        unit="",
    ),
    "map-needs-weights": Claim(
        notebook="05",
        post="us",
        statement="The map hangs on what the net has learnt",
        quantity="rank correlation of Grad-CAM before and after the last layer is drawn anew, less "
        "that between two training seeds",
        rule=below(0),
        control="rank correlation between two training seeds",
        unit="",
    ),
    "post-map-is-cam": Claim(
        notebook="06",
        post="D",
        statement="The post's picture is a class activation map",
        quantity="share of the variance of the class's logit over images that the map's spatial "
        "mean plus bias misses",
        rule=within(-0.01, 0.01),
        control="the same for a head of average pooling and one linear layer",
        unit="",
    ),
    "random-split-is-fair": Claim(
        notebook="06",
        post="D, implied",
        statement="The same individual may be in training and validation",
        quantity="accuracy on held-out views of individuals of which others were learnt, less that "
        "on individuals never seen",
        rule=below(0.02),
        control="the same difference where views are drawn from different individuals",
    ),
    "misspelt-does-no-harm": Claim(
        notebook="06",
        post="D, implied",
        statement="Two species misspelt, and so two classes more, do no harm",
        quantity="accuracy with misspelt labels in training and validation, less that with the "
        "spelling mended",
        rule=above(-0.01),
        control="share of images that bear a misspelt label",
    ),
    "individuals-by-species-net": Claim(
        notebook="06",
        post="D",
        statement="A net that learnt species serves to recognise individuals",
        quantity="share of held-out views whose nearest signature is another view of the same "
        "individual, less that by mean colour",
        rule=above(0),
        control="the share by mean colour, and by the untrained net's signature",
    ),
    "spill-means-use": Claim(
        notebook="06",
        post="D",
        statement="Where the bright area spills onto the background, the net uses the background",
        quantity="share of the rectified map on the background, on the same scenes, of nets that "
        "have learnt from telling backgrounds, less nets to which backgrounds told nothing",
        rule=above(0.1),
        control="accuracy lost by both kinds of net when backgrounds are swapped",
    ),
    "cut-outs-learn-better": Claim(
        notebook="06",
        post="D",
        statement="A net that sees the object alone in training does better when backgrounds are "
        "swapped",
        quantity="accuracy on scenes with swapped backgrounds, trained on cut-outs less trained on "
        "telling backgrounds",
        rule=above(0),
        control="the same for random erasing, which needs no masks",
    ),
    "cut-outs-cost-nothing": Claim(
        notebook="06",
        post="D",
        statement="And it loses nothing where the background tells",
        quantity="accuracy on scenes with telling backgrounds, trained on cut-outs less trained on "
        "telling backgrounds",
        rule=above(-0.01),
        control="the same, trained on swapped backgrounds",
    ),
    "deeper-is-coarser": Claim(
        notebook="07",
        post="E",
        statement="Maps lose resolution with depth",
        quantity="share of the pixels' variance that a linear reading of each cell recovers, "
        "fourth layer less first",
        rule=below(0),
        control="the same share from the image itself, averaged to the fourth layer's cells",
    ),
    "maps-show-what-is-sought": Claim(
        notebook="07",
        post="E",
        statement="A feature map shows what its filter looks for: what excites it is of one kind",
        quantity="share of pairs of images of one class among the nine that excite a channel of "
        "the fourth layer most, less that of random images",
        rule=above(0.05),
        control="the same for the untrained net",
    ),
    "squares-by-dropout": Claim(
        notebook="07",
        post="E",
        statement="Uniform squares are the work of dropout",
        quantity="share of uniform maps in the first four layers, nets trained with dropout less "
        "nets trained without",
        rule=above(0.01),
        control="the same nets with and without dropout switched on while they look",
    ),
    "squares-are-dead": Claim(
        notebook="07",
        post="us",
        statement="Uniform squares are dead channels, uniform for any image",
        quantity="share of the uniform maps of single images that belong to channels uniform for "
        "every test image",
        rule=above(0.5),
        control="the same share in the untrained net",
        unit="%",
    ),
    "scale-does-not-matter": Claim(
        notebook="07",
        post="E, implied",
        statement="Whether the input is scaled as in training does not matter",
        quantity="test accuracy with input of 0 to 255 less that with 0 to 1",
        rule=above(-0.01),
        control="rank correlation of the first layer's maps with and without",
    ),
    "each-channel-counts": Claim(
        notebook="07",
        post="us",
        statement="Most channels of the last convolution are worth something alone",
        quantity="share of channels without which accuracy falls by more than chance (exact test, "
        "Holm's correction)",
        rule=above(0.5),
        control="the share without which it rises",
        unit="%",
    ),
    "latent-representation": Claim(
        notebook="07",
        post="E",
        statement="Feature maps are a representation of the image that gets better with depth",
        quantity="accuracy of a linear probe, last pooling layer less first convolution",
        rule=above(0),
        control="the same difference in the untrained net",
    ),
}


class Outcome(NamedTuple):
    """A measured claim. `n` and `control` are sentences for people."""

    id: str
    value: float
    low: float
    high: float
    n: str
    control: str
    verdict: str
    reason: str


def note(
    outcomes: list, id: str, interval, *, n: str, control: str, settings, lacks: str = ""
) -> None:
    """Measure claim `id`: judge `interval` (value, low, high) and add the outcome to `outcomes`.

    `lacks` says what the images turned out to lack, where they do: then it is not judged. Raises
    KeyError for a claim that was never written down, and ValueError for one noted twice.
    """
    if id not in CLAIMS:
        raise KeyError(f"no claim called {id!r}; there are: {', '.join(CLAIMS)}")
    if any(outcome.id == id for outcome in outcomes):
        raise ValueError(f"claim {id!r} is noted already; run the notebook from its first cell")
    value, low, high = float(interval.value), float(interval.low), float(interval.high)
    reason = missing(CLAIMS[id], settings) or (lacks and f"needs {lacks}")
    verdict = NOT_RE_RUN if reason else CLAIMS[id].rule.verdict(low, high)
    outcomes.append(Outcome(id, value, low, high, n, control, verdict, reason))


def missing(claim: Claim, settings) -> str:
    """What this run lacks to judge the claim; empty where nothing."""
    lacks = []
    if claim.dataset and settings.dataset != claim.dataset:
        lacks.append(f"the dataset {claim.dataset}")
    if claim.full and not settings.full:
        lacks.append("the full profile")
    if claim.yardstick and settings.dataset not in KNOWN:
        lacks.append("classes of which something is known")
    if claim.file and not (settings.data_dir / claim.file).exists():
        lacks.append(f"the file {claim.file}")
    if claim.weights and not imagenet_file(claim.weights).exists():
        lacks.append(f"the ImageNet weights of {claim.weights}")
    return "needs " + " and ".join(lacks) if lacks else ""


def what_held(outcomes: list, notebook: str) -> pd.DataFrame:
    """The **What held** table of a notebook: a row per claim, in the order of the registry.

    Raises ValueError where a claim of this notebook was not measured: none is dropped silently.
    """
    done = {outcome.id: outcome for outcome in outcomes}
    wanted = [id for id, claim in CLAIMS.items() if claim.notebook == notebook]
    absent = [id for id in wanted if id not in done]
    if absent:
        raise ValueError(f"not measured: {', '.join(absent)}; run the notebook from its first cell")
    rows = [row(CLAIMS[id], done[id]) for id in wanted]
    return pd.DataFrame(rows).set_index("claim")


def row(claim: Claim, outcome: Outcome) -> dict[str, str]:
    return {
        "claim": claim.statement,
        "post": claim.post,
        "measured": f"{claim.quantity}: {shown(claim, outcome)}",
        "holds if": limits(claim),
        "n": outcome.n,
        "control": f"{claim.control}: {outcome.control}",
        "verdict": outcome.verdict + (f" ({outcome.reason})" if outcome.reason else ""),
    }


def shown(claim: Claim, outcome: Outcome) -> str:
    value, low, high = (quantity(claim, x) for x in (outcome.value, outcome.low, outcome.high))
    return f"{value} [{low}, {high}] {claim.unit}".strip()


def quantity(claim: Claim, x: float) -> str:
    if math.isnan(x):
        return "?"
    text = f"{100 * x:.1f}" if claim.unit else f"{x:.3f}"
    return text.replace("-", "\N{MINUS SIGN}")


def limits(claim: Claim) -> str:
    low, high = claim.rule
    if high - low < 1e-6:
        words = f"exactly {quantity(claim, (low + high) / 2)}"
    elif math.isinf(low):
        words = f"below {quantity(claim, high)}"
    elif math.isinf(high):
        words = f"above {quantity(claim, low)}"
    else:
        words = f"between {quantity(claim, low)} and {quantity(claim, high)}"
    return f"{words} {claim.unit}".strip()
