"""Quality checks: is an image a whole, upright chest radiograph like those that a model was trained on?

A release holds a `reference.Reference` of its training images: limits on exposure, a linear discriminant that tells
good images from turned, inverted, cropped, shuffled and mirrored ones, and the Mahalanobis distance from the training
images. It looks at 768 numbers of the image at 64 x 64 px (`descriptor`), not at features of the network, so that
every runtime and precision gives the same word. A prediction takes 1.01 times as long with Keras and 1.00 times with
OpenVINO (medians of 7 pairs on a busy machine: 0.83 to 1.26). Each limit is a quantile of good images of patients
that took no part in the fit.

Measured on 1,115 frontal radiographs of 888 patients of NIH ChestX-ray14 by checks fitted on other patients of that
hospital, with Wilson's 95 % interval (`tests/benchmarks/measure_gate.py`, `results-gate.md`): 1.2 % [0.7, 2.0] of
good images are rejected. Rejected are 99.9 % [99.5, 100] or more of those turned by 90, 180 or 270 degrees, upside
down or inverted, 97.1 % [95.9, 98.0] of those with 45 to 65 % of both sides left, but 90.9 % [88.9, 92.5] with only
the upper part left and 17.8 % [15.7, 20.3] with a tenth cut off each edge; 98.0 % [97.0, 98.7] or more of those
shuffled in tiles; all of 500 images of noise, 500 pages of text and 500 blank ones. A mirrored image cannot be told
reliably: 48.4 % [45.3, 51.6] are called doubtful, as are 0.7 % [0.3, 1.5] of good ones. Of 31 photographs and
drawings 29 were rejected and of 15 other DICOM files (CT, MR, ultrasound, screen shots) all: too few for a claim.
There were no lateral images and no other hospitals.

"unknown" is said of every image where a release has no reference: ports of weights that others published, releases of
earlier versions, and models trained on fewer than 60 patients. `zoo gate` adds one.
"""
