"""Metrics: figures over a split, and of each image."""

from densedistill.distill.metrics.accuracy import Accuracy, expected_calibration_error
from densedistill.distill.metrics.base import Curved, Metric
from densedistill.distill.metrics.dice import Dice
from densedistill.distill.metrics.image_quality import PSNR_CAP, ImageQuality
from densedistill.distill.metrics.iou import MeanIoU

__all__ = ["PSNR_CAP", "Accuracy", "Curved", "Dice", "ImageQuality", "MeanIoU", "Metric", "expected_calibration_error"]
