"""Typed results of an evaluation, and their conversion to and from JSON."""

from zoo.evaluation.result.codec import from_json as from_json
from zoo.evaluation.result.codec import to_json as to_json
from zoo.evaluation.result.evaluation import Evaluation as Evaluation
from zoo.evaluation.result.evaluation import ModelNumbers as ModelNumbers
from zoo.evaluation.result.numbers import HALF as HALF
from zoo.evaluation.result.numbers import Estimate as Estimate
from zoo.evaluation.result.numbers import Estimates as Estimates
from zoo.evaluation.result.numbers import Mean as Mean
from zoo.evaluation.result.numbers import Measure as Measure
