"""Results as DICOM objects: a structured report, a parametric map of the heatmaps, a secondary capture for people.

`results` does all of it for the images of one report; `report`, `parametric_map` and `capture` make single objects, of
images whose headers `source_of` reads and of a model that `algorithm_of` identifies. They need the extra `dicom`.
"""

from zoo.dicom.algorithm import Algorithm as Algorithm
from zoo.dicom.algorithm import algorithm_of as algorithm_of
from zoo.dicom.making import Wanted as Wanted
from zoo.dicom.making import objects as objects
from zoo.dicom.making import results as results
from zoo.dicom.maps import Heatmap as Heatmap
from zoo.dicom.maps import capture as capture
from zoo.dicom.maps import parametric_map as parametric_map
from zoo.dicom.sources import source_of as source_of
from zoo.dicom.structured import Finding as Finding
from zoo.dicom.structured import report as report
